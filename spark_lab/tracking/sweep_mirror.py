"""The MLflow copy of a sweep: a run beside those of its arms, with the plan, the report and means.

The sweep's folder is the truth. Which of it is in MLflow is kept in <sweep>/mlflow.json; when
anything has changed since, the run is replaced as a whole, so every point is there exactly once.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_lab import runs
from spark_lab.errors import Problem, UserError
from spark_lab.tracking.mlflow_mirror import BATCH, exists, read_note, write_note
from spark_lab.tracking.store import Store, lock

if TYPE_CHECKING:
    from mlflow.entities import Metric

PLAN = "plan.json"
# All that MLflow takes in the name of a metric.
_UNNAMEABLE = re.compile(r"[^\w.:/ -]")


def sync_sweep(folder: Path, store: Store) -> str | None:
    """Makes MLflow's run of a sweep equal to the sweep's folder; its id, None before a run is done.

    It holds the plan and the report as artifacts and `final/<metric>/<arm>`, means over the
    finished seeds. Raises UserError for a damaged plan.
    """
    planned = _planned(folder)
    statuses = [(run["arm"], _status(folder / run["folder"])) for run in planned]
    finished = [(arm, status) for arm, status in statuses if status.get("state") == "done"]
    if not finished:
        return None
    means = _means(finished)
    digest = _digest(folder, means, len(finished))
    with lock(folder.parent):
        note = read_note(folder)
        if note.get("digest") == digest and exists(store, note["run_id"]):
            return note["run_id"]
        run_id = _create_run(folder, store, finished)
        stamp = _milliseconds(finished, "updated", max)
        _log(store, run_id, folder, means, stamp)
        complete = len(finished) == len(planned)
        status = "FINISHED" if complete else "FAILED"
        store.client.set_terminated(run_id, status=status, end_time=stamp)
        write_note(folder, {"run_id": run_id, "digest": digest})
    return run_id


def experiment(folder: Path) -> str:
    """The MLflow experiment that a sweep's first run asked for. UserError for a damaged plan."""
    tracking = _planned(folder)[0].get("config", {}).get("tracking", {})
    return tracking.get("experiment") or "spark-lab"


def find_sweeps(root: Path) -> list[Path]:
    """All folders of sweeps below a root, or the root itself where it is one."""
    return sorted(path.parent for path in (root / PLAN, *root.glob(f"*/{PLAN}")) if path.exists())


def _planned(folder: Path) -> list[dict[str, Any]]:
    try:
        planned = json.loads((folder / PLAN).read_text(encoding="utf-8"))["runs"]
        if planned and all({"arm", "folder"} <= run.keys() for run in planned):
            return planned
        reason = "no runs in it"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
    fix = "type the sweep's command again: it writes the plan anew and repeats no run"
    raise UserError(Problem(str(folder / PLAN), f"not a plan ({reason})", "a sweep's plan", fix))


def _status(folder: Path) -> dict[str, Any]:
    """A damaged one is the failure of its run, which is told where that is synced."""
    try:
        return runs.read_status(folder)
    except UserError:
        return {}


def _means(finished: list[tuple[str, dict[str, Any]]]) -> dict[str, float]:
    """By the name of the metric and the arm, over the arm's seeds that have it."""
    values: dict[str, list[float]] = {}
    for arm, status in finished:
        for metric, value in status.get("final", {}).items():
            values.setdefault(_UNNAMEABLE.sub("_", f"final/{metric}/{arm}"), []).append(value)
    return {name: sum(found) / len(found) for name, found in sorted(values.items())}


def _digest(folder: Path, means: dict[str, float], finished: int) -> str:
    """Of everything that is copied; the report's page stands for its tables and figures."""
    total = hashlib.sha256(json.dumps([means, finished]).encode())
    for path in (folder / PLAN, folder / "report/report.html"):
        total.update(path.read_bytes() if path.exists() else b"absent")
    return total.hexdigest()[:16]


def _create_run(folder: Path, store: Store, finished: list[tuple[str, dict[str, Any]]]) -> str:
    """A new run in place of all that the folder had: its last state, and what a crash left."""
    client, place = store.client, str(folder.resolve())
    same_folder = "tags.sweep_folder = '{}'".format(place.replace("'", "''"))
    for old in client.search_runs([store.experiment], same_folder):
        client.delete_run(old.info.run_id)
    tags = {
        "sweep": folder.name,
        "sweep_folder": place,
        "mlflow.source.name": "spark-lab",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": f"The runs are those with the tag sweep = {folder.name}.",
    }
    start = _milliseconds(finished, "started", min)
    return client.create_run(
        store.experiment, start_time=start, run_name=f"sweep {folder.name}", tags=tags
    ).info.run_id


def _log(store: Store, run_id: str, folder: Path, means: dict[str, float], stamp: int) -> None:
    from mlflow.entities import Metric

    points: list[Metric] = [Metric(name, mean, stamp, 0) for name, mean in means.items()]
    for start in range(0, len(points), BATCH):
        store.client.log_batch(run_id, metrics=points[start : start + BATCH])
    store.client.log_artifact(run_id, str(folder / PLAN))
    if (folder / "report/report.html").exists():
        store.client.log_artifacts(run_id, str(folder / "report"), "report")


def _milliseconds(finished: list[tuple[str, dict[str, Any]]], key: str, which: Any) -> int:
    return int(1000 * which(status.get(key, 0.0) for _, status in finished))
