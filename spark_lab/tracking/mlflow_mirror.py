"""The MLflow copy of a run folder.

The folder's JSONL is the truth; this module only sends what is not in MLflow yet. Rows beyond the
last durable checkpoint are held back, because a resumed run may write them again. How many rows
were sent is kept in <run>/mlflow.json. A crash between sending and noting it costs nothing: the
rows are sent again with the same timestamps, and MLflow's primary key (key, timestamp, step, value)
makes an exact repeat a no-op.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_lab import runs
from spark_lab.durable import write_text
from spark_lab.errors import Problem, UserError
from spark_lab.tracking import describe
from spark_lab.tracking.jsonl import Row, read_rows, rollout_files
from spark_lab.tracking.store import Store, failures, lock

if TYPE_CHECKING:
    from mlflow.entities import Metric

BATCH = 1000
NOT_METRICS = {"step", "time", "fraction"}
NOTHING_SENT = {"metrics": 0, "eval": 0}
ENDINGS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "pruned": "KILLED"}
SHOWN_COLUMNS = [
    "phase",
    "step",
    "set",
    "objective",
    "form",
    "prompt",
    "completion",
    "label",
    "answer",
    "reward",
    "correct",
]
SHOWN_PER_KIND = 4

log = logging.getLogger(__name__)


class MlflowMirror:
    """Keeps one MLflow run equal to one run folder; the store says which MLflow.

    Once running it never stops the training: a failure is logged once as a warning, what was not
    sent is sent with the next call, and `sync_run` catches up at any later time. A `strict` mirror
    raises instead.
    """

    def __init__(self, folder: Path, store: Store, *, strict: bool = False):
        self._folder = folder
        self._store = store
        self._strict = strict
        self._warned = False
        self.run_id = self._attach()

    def sync(self, upto_step: int | None) -> None:
        """Sends every row with step <= `upto_step` (None: all) that was not sent before."""
        self._guard(lambda: self._send(upto_step))

    def finish(self, state: str) -> None:
        """Closes the run as `state` (done, pruned, failed, stopped).

        A run that is done gets its last rows, `final/` metrics, figures and a table of rollouts; a
        failed or stopped one may be resumed, so it ends at the last rows that were synced.
        """
        self._guard(lambda: self._finish(state))

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (UserError, *failures()) as error:
            if self._strict:
                raise
            if not self._warned:
                reason = str(error).partition("\n")[0]
                log.warning("MLflow is behind (%s). Catch up with: spark-lab sync", reason)
            self._warned = True

    def _attach(self) -> str:
        with lock(self._folder.resolve().parents[2]):
            run_id = read_note(self._folder).get("run_id")
            if run_id is not None and exists(self._store, run_id):
                self._store.client.update_run(run_id, status="RUNNING")
                return run_id
            return self._create_run()

    def _create_run(self) -> str:
        from mlflow.entities import Param

        client, _, experiment = self._store
        # A damaged folder is refused here, before there is a run that would stay empty.
        tags, params = describe.tags(self._folder), describe.params(self._folder)
        # A run that the folder does not name is what a crash between creating and noting it, or an
        # earlier run in the same folder, left behind. It is known by its tags, made together with it.
        same_folder = "tags.run_folder = '{}'".format(tags["run_folder"].replace("'", "''"))
        for leftover in client.search_runs([experiment], same_folder):
            client.delete_run(leftover.info.run_id)
        run_id = client.create_run(
            experiment,
            start_time=describe.started_ms(self._folder),
            run_name=describe.run_name(self._folder),
            tags=tags,
        ).info.run_id
        client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        for name in ("config.yaml", "overrides.yaml", "env.json"):
            if (self._folder / name).exists():
                client.log_artifact(run_id, str(self._folder / name))
        write_note(self._folder, NOTHING_SENT | {"run_id": run_id})
        return run_id

    def _send(self, upto_step: int | None) -> None:
        note = read_note(self._folder)
        rows = {name: read_rows(self._folder / f"{name}.jsonl").rows for name in NOTHING_SENT}
        last = math.inf if upto_step is None else upto_step
        due = {
            name: [row for row in found[note[name] :] if row["step"] <= last]
            for name, found in rows.items()
        }
        recorded = {row["step"] for row in rows["metrics"]}
        fresh = [point for row in due["metrics"] for point in points(row)]
        for row in due["eval"]:
            # Only step 0, and the step at which a run was pruned, have no row of their own.
            fresh += points(row, compute=row["step"] not in recorded)
        self._log(fresh)
        write_note(self._folder, note | {name: note[name] + len(due[name]) for name in due})

    def _finish(self, state: str) -> None:
        if state == "pruned":  # as final as done: no resume will write its rows again
            self._send(None)
        if state == "done":
            self._send(None)
            self._log_final()
            self._log_artifacts()
        status = runs.read_status(self._folder)
        client = self._store.client
        client.set_tag(self.run_id, "status", state)
        if state == "failed" and status.get("error"):
            client.set_tag(self.run_id, "error", str(status["error"])[:5000])
        ended = status.get("updated")
        client.set_terminated(
            self.run_id, ENDINGS[state], end_time=None if ended is None else int(ended * 1000)
        )
        write_note(self._folder, read_note(self._folder) | {"state": state})

    def _log_final(self) -> None:
        evaluations = read_rows(self._folder / "eval.jsonl").rows
        if evaluations:
            self._log(numbers(evaluations[-1], "final/", evaluations[-1]["step"]))

    def _log_artifacts(self) -> None:
        client = self._store.client
        figures = self._folder / "figures"
        if figures.is_dir():
            client.log_artifacts(self.run_id, str(figures), "figures")
        shown = rollout_sample(self._folder)
        if shown:
            table = {"columns": SHOWN_COLUMNS, "data": shown}
            # What MLflow's log_table writes, without its re-reading and appending when repeated.
            client.log_dict(self.run_id, table, "rollouts.json")
            kind = json.dumps([{"path": "rollouts.json", "type": "table"}])
            client.set_tag(self.run_id, "mlflow.loggedArtifacts", kind)

    def _log(self, points: list[Metric]) -> None:
        for start in range(0, len(points), BATCH):
            self._store.client.log_batch(self.run_id, metrics=points[start : start + BATCH])


def exists(store: Store, run_id: str) -> bool:
    """Whether the store has this run, not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def read_note(folder: Path) -> dict[str, Any]:
    """What was sent of this folder: the run's id and rows per file; empty when nothing was.

    UserError if damaged: how many rows are in MLflow already must not be guessed.
    """
    path = folder / "mlflow.json"
    if not path.exists():
        return {}
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        note = None
    if isinstance(note, dict):
        return note
    fix = "delete this file and type the same command: a whole new copy replaces the one in MLflow"
    raise UserError(Problem(str(path), "not a JSON object", "what MLflow has of this folder", fix))


def write_note(folder: Path, note: dict[str, Any]) -> None:
    write_text(folder / "mlflow.json", json.dumps(note, indent=2) + "\n")


def points(row: Row, *, compute: bool = True) -> list[Metric]:
    """The metrics of one optimizer step or evaluation, over the step and again over the tokens
    generated so far.

    What was spent is over the step alone. `compute` is false for an evaluation where the row of the
    same step says it.
    """
    measured = {key: value for key, value in row.items() if not key.startswith("compute/")}
    over_steps = numbers(row if compute else measured, "", row["step"])
    tokens = row.get("compute/generated_tokens")
    return over_steps if tokens is None else over_steps + numbers(measured, "tokens/", int(tokens))


def numbers(row: Row, prefix: str, step: int) -> list[Metric]:
    """One MLflow point per number of a row, stamped with the row's own time."""
    from mlflow.entities import Metric

    stamp = int(row["time"] * 1000)
    return [
        Metric(prefix + key, float(value), stamp, step)
        for key, value in row.items()
        if key not in NOT_METRICS and isinstance(value, int | float) and not math.isnan(value)
    ]


def rollout_sample(folder: Path) -> list[list[Any]]:
    """A readable sample of the last evaluation and the last training rollouts.

    The first few right and wrong ones of every (set, objective), as rows of SHOWN_COLUMNS.
    """
    counts: dict[tuple[Any, ...], int] = {}
    shown = []
    for phase in ("eval", "train"):
        for path in list(rollout_files(folder, phase).values())[-1:]:
            for row in read_rows(path).rows:
                kind = (phase, row.get("set"), row.get("objective"), row.get("correct"))
                counts[kind] = counts.get(kind, 0) + 1
                if counts[kind] <= SHOWN_PER_KIND:
                    shown.append([row.get(column) for column in SHOWN_COLUMNS])
    return shown
