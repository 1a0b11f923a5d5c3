"""The MLflow stores of a sweep, opened before any worker opens them."""

from __future__ import annotations

from pathlib import Path

from spark_lab.sweeping.plan import Plan
from spark_lab.tracking.store import Store, open_store


def open_stores(plan: Plan) -> list[Store]:
    """Every store and experiment that the runs write to. UserError where one can't be opened."""
    wanted = {
        (Path(run.config.root), run.config.tracking.mlflow_uri, run.config.tracking.experiment)
        for run in plan.runs
        if run.config.tracking.mlflow
    }
    return [open_store(*place) for place in sorted(wanted, key=str)]
