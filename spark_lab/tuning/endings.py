"""How a trial ended, in a word or three, which its runs in MLflow are told as well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from spark_lab import runs
from spark_lab.errors import UserError
from spark_lab.tracking import trial_mirror
from spark_lab.tracking.store import failures, open_store
from spark_lab.tuning.search import Search

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
BETWEEN_SEEDS = "pruned between seeds"


def words_of(state: str, folders: Sequence[Path]) -> str:
    """A pruned trial whose runs (`folders`) were all trained to their end was pruned between them."""
    if state == PRUNED and folders and all(map(_is_done, folders)):
        return BETWEEN_SEEDS
    return state


def show(search: Search, number: int, state: str) -> None:
    """Tag a trial's runs in MLflow.

    A store that fails stops nothing, and is not spoken of: the search's end catches up, or says so.
    """
    tracking, root = search.example.tracking, Path(search.example.root)
    if not tracking.mlflow:
        return
    folders = runs.find_runs(search.folder / runs.trial_arm(number))
    with suppress(UserError, *failures()):
        store = open_store(root, tracking.mlflow_uri, tracking.experiment)
        for folder in folders:
            trial_mirror.tag(folder, store, {trial_mirror.STATE: words_of(state, folders)})


def _is_done(folder: Path) -> bool:
    try:
        return runs.read_status(folder).get("state") == "done"
    except UserError:  # damaged: whoever opens the run says so
        return False
