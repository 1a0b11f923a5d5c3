"""Brings MLflow up to date with run folders: after a crash, a failed mirror, or a lost database."""

from __future__ import annotations

import argparse
from pathlib import Path

from spark_lab import runs
from spark_lab.errors import Problem, UserError
from spark_lab.tracking import describe, words
from spark_lab.tracking.mlflow_mirror import MlflowMirror, exists, read_note
from spark_lab.tracking.store import Store, open_store
from spark_lab.tracking.sweep_mirror import PLAN, experiment, find_sweeps, sync_sweep
from spark_lab.tracking.trial_mirror import find_searches, sync_trials


def main(argv: list[str]) -> None:
    """`spark-lab sync [ROOT]`: makes MLflow equal to the run folders, however often it is typed."""
    parser = argparse.ArgumentParser(prog="spark-lab sync", description="Rebuild MLflow's copy.")
    parser.add_argument("root", nargs="?", default="runs", help="folder of the runs (runs)")
    parser.add_argument("--uri", help="another MLflow store (<root>/mlflow.db)")
    args = parser.parse_args(argv)
    synced = sync(Path(args.root), args.uri)
    sweeps = sum((folder / PLAN).exists() for folder in synced)
    found = words.number(len(synced) - sweeps, "run")
    if sweeps:
        found += f" and {words.number(sweeps, 'sweep')}"
    print(f"{found} in MLflow. `spark-lab ui{_elsewhere(args.root)}` shows them.")


def sync(root: Path, uri: str | None = None) -> dict[Path, str]:
    """Syncs every run folder and every sweep below a root; what is up to date is left alone.

    Returns the MLflow run id of each folder, a sweep's own too. Raises UserError when there is no run, a run folder is
    damaged or the store can't be opened; the other folders are synced all the same.
    """
    folders = runs.find_runs(root)
    if not folders:
        raise UserError(
            Problem(
                where=str(root),
                got="no run folders" if root.is_dir() else "no such folder",
                expected="a folder with runs in it",
                fix="`spark-lab` trains one into runs/",
            )
        )
    stores: dict[str, Store] = {}
    synced: dict[Path, str] = {}
    problems: list[Problem] = []
    for folder in folders:
        try:
            name = describe.experiment(folder)
            stores[name] = stores.get(name) or open_store(root, uri, name)
            synced[folder] = sync_run(folder, stores[name])
        except UserError as error:
            problems += error.problems
    for folder in find_sweeps(root):
        try:
            name = experiment(folder)
            stores[name] = stores.get(name) or open_store(root, uri, name)
            run_id = sync_sweep(folder, stores[name])
        except UserError as error:
            problems += error.problems
            continue
        if run_id is not None:
            synced[folder] = run_id
    for folder in find_searches(root) if stores else ():
        try:
            # Whichever experiment: the runs are known by their ids.
            sync_trials(folder, next(iter(stores.values())))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*dict.fromkeys(problems))
    return synced


def sync_run(folder: Path, store: Store) -> str:
    """Sends what the store lacks of one run folder and closes its MLflow run as its status says.

    A run that is not done is sent up to its last durable checkpoint. Returns the MLflow run id.
    """
    state = runs.read_status(folder).get("state", "running")
    note = read_note(folder)
    if note.get("state") == "done" == state and exists(store, note["run_id"]):
        return note["run_id"]
    mirror = MlflowMirror(folder, store, strict=True)
    if state == "done":
        mirror.finish(state)
    else:
        mirror.sync(max(runs.complete_checkpoints(folder), default=-1))
        if state != "running":
            mirror.finish(state)
    return mirror.run_id


def _elsewhere(root: str) -> str:
    return "" if root == "runs" else f" {root}"
