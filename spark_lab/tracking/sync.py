"""Brings MLflow up to date with run folders: after a crash, a failed mirror, or a lost database."""

from __future__ import annotations

from pathlib import Path

from spark_lab import runs
from spark_lab.tracking.mlflow_mirror import MlflowMirror, exists, read_note
from spark_lab.tracking.store import Store, open_store


def sync(root: Path, uri: str | None = None, experiment: str = "spark-lab") -> dict[Path, str]:
    """Syncs every run folder below a root; what is up to date is left alone.

    Returns the MLflow run id of each folder. Raises UserError when the store can't be opened.
    """
    store = open_store(root, uri, experiment)
    return {folder: sync_run(folder, store) for folder in runs.find_runs(root)}


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
