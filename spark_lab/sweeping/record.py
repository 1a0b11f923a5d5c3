"""A sweep in MLflow: its store before any worker opens it, and at the end a run of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

from spark_lab.durable import write_text
from spark_lab.sweeping.plan import Plan
from spark_lab.tracking.mlflow_mirror import exists
from spark_lab.tracking.store import Store, open_store

# All that MLflow takes in the name of a metric.
_UNNAMEABLE = re.compile(r"[^\w.:/ -]")
NOTE = "mlflow.json"


def open_stores(plan: Plan) -> list[Store]:
    """Every store and experiment that the runs write to. UserError where one can't be opened."""
    wanted = {
        (Path(run.config.root), run.config.tracking.mlflow_uri, run.config.tracking.experiment)
        for run in plan.runs
        if run.config.tracking.mlflow
    }
    return [open_store(*place) for place in sorted(wanted, key=str)]


def record(plan: Plan, store: Store, report: Path | None, *, complete: bool) -> str:
    """Make or refresh the sweep's own MLflow run; returns its id.

    It holds the plan and the report as artifacts and `final/<metric>/<arm>`, means over the
    finished seeds. A repeat with the same runs adds no point.
    """
    from mlflow.entities import Metric

    client = store.client
    run_id = _run_of(plan, store)
    finished = [run for run in plan.runs if run.done]
    statuses = {run.name: run.status for run in finished}
    stamp = int(1000 * max((s["updated"] for s in statuses.values()), default=0.0))
    points = []
    for arm in plan.arms:
        finals = [statuses[run.name].get("final", {}) for run in finished if run.arm == arm]
        for metric in sorted({key for final in finals for key in final}):
            values = [final[metric] for final in finals if metric in final]
            name = _UNNAMEABLE.sub("_", f"final/{metric}/{arm}")
            points.append(Metric(name, sum(values) / len(values), stamp, 0))
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])
    client.log_artifact(run_id, str(plan.folder / "plan.json"))
    if report is not None:
        client.log_artifacts(run_id, str(report.parent), "report")
    client.set_terminated(run_id, status="FINISHED" if complete else "FAILED")
    return run_id


def _run_of(plan: Plan, store: Store) -> str:
    """The run that the sweep's folder names, or a new one. Its children are found by their tag."""
    note = plan.folder / NOTE
    if note.exists():
        run_id = json.loads(note.read_text(encoding="utf-8"))["run_id"]
        if exists(store, run_id):
            return run_id
    tags = {
        "sweep": plan.name,
        "sweep_folder": str(plan.folder.resolve()),
        "mlflow.source.name": "spark-lab",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": f"The runs are those with the tag sweep = {plan.name}.",
    }
    run_id = store.client.create_run(
        store.experiment, run_name=f"sweep {plan.name}", tags=tags
    ).info.run_id
    write_text(note, json.dumps({"run_id": run_id}) + "\n")
    return run_id
