"""A sweep in MLflow: its store before any worker opens it, and at the end its copy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spark_lab.sweeping.plan import Plan
from spark_lab.tracking.store import Store, failures, open_store
from spark_lab.tracking.sweep_mirror import sync_sweep
from spark_lab.tracking.trial_mirror import sync_trials


def open_stores(plan: Plan) -> list[Store]:
    """Every store and experiment that the runs write to. UserError where one can't be opened."""
    wanted = {
        (Path(run.config.root), run.config.tracking.mlflow_uri, run.config.tracking.experiment)
        for run in plan.runs
        if run.config.tracking.mlflow
    }
    return [open_store(*place) for place in sorted(wanted, key=str)]


def copy(folder: Path, store: Store) -> None:
    """The plan, the report and the means of a sweep's folder; a store that fails stops nothing."""
    with _stopping_nothing():
        sync_sweep(folder, store)


def copy_trials(folder: Path, stores: Sequence[Store]) -> None:
    """How the trials of a search's folder ended; a store that fails stops nothing."""
    for store in stores[:1]:
        with _stopping_nothing():
            sync_trials(folder, store)


@contextmanager
def _stopping_nothing() -> Iterator[None]:
    try:
        yield
    except failures() as error:  # the runs and the report are there all the same
        reason = str(error).partition("\n")[0]
        print(f"MLflow is behind ({reason}). Catch up with: spark-lab sync", file=sys.stderr)
