"""A search's trials in MLflow: each run says how its trial ended, below the run of the search.

A run knows how it ended itself, not what became of its trial: that goes on with other seeds, or is
given up between them. study.json of the search's folder is the truth. What a run was tagged with is
kept in its mlflow.json, so that what is up to date is left alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from spark_lab import runs
from spark_lab.errors import Problem, UserError
from spark_lab.tracking.mlflow_mirror import read_note, write_note
from spark_lab.tracking.store import Store

STUDY = "study.json"
STATE, PARENT = "trial_state", "mlflow.parentRunId"


def find_searches(root: Path) -> list[Path]:
    """All folders of searches below a root, or the root itself where it is one."""
    return sorted(path.parent for path in (root / STUDY, *root.glob(f"*/{STUDY}")) if path.exists())


def sync_trials(folder: Path, store: Store) -> None:
    """Tags the runs of a search's trials as its study.json says. Raises UserError where that is
    damaged, or what a run notes of its copy; the other runs are tagged all the same."""
    states, parent = _states(folder), read_note(folder).get("run_id")
    problems: list[Problem] = []
    for run in runs.find_runs(folder):
        state = states.get(runs.trial_of(run.parent.name))
        if state is None:
            continue
        try:
            tag(run, store, {STATE: state} | ({PARENT: parent} if parent else {}))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)


def tag(run: Path, store: Store, tags: dict[str, str]) -> None:
    """Sets what differs; a run that is not in MLflow is left to `spark-lab sync`."""
    note = read_note(run)
    if "run_id" not in note:
        return
    known = note.get("tags", {})
    for key, value in tags.items():
        if known.get(key) != value:
            store.client.set_tag(note["run_id"], key, value)
    if known | tags != known:
        write_note(run, note | {"tags": known | tags})


def _states(folder: Path) -> dict[int | None, str]:
    """Of the trials that have ended, by number."""
    path = folder / STUDY
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
        return {int(one["number"]): one["ended"] for one in trials if one.get("ended")}
    except (ValueError, KeyError, TypeError) as error:
        fix = "type the search's command again, which writes it anew"
        got = f"damaged ({type(error).__name__})"
        raise UserError(Problem(str(path), got, "the trials of a search", fix)) from error
