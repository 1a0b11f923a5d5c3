"""Everyone who is told how a run goes: its folder, the terminal, and MLflow's copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spark_lab import runs
from spark_lab.evaluation import Evaluation
from spark_lab.tracking.console import Console, next_commands
from spark_lab.tracking.jsonl import RunLog, read_rows
from spark_lab.tracking.mlflow_mirror import MlflowMirror
from spark_lab.tracking.store import open_store

_ENDINGS = ((KeyboardInterrupt, "stopped"), (runs.Pruned, "pruned"))
_CLOCK = {"step", "time", "fraction", "questions"}


class RunObserver:
    """Writes the run folder first (the truth), then shows and copies what was written.

    A context manager: an exception inside closes MLflow's run as failed or stopped.
    """

    def __init__(
        self, opened: runs.Run, *, questions: str, hopeless: Callable[[], bool] | None = None
    ):
        config = opened.config
        self._folder = opened.folder
        self._config = config
        self._questions = questions
        self._hopeless = hopeless
        self._began = time.time()
        self._log = RunLog(opened.folder)
        self._console = Console(
            config.tracking.console,
            title=f"{runs.arm_of(config)} · seed {config.seed}",
            trained=runs.arm(config.objective).split("+"),
            unit=config.budget.unit,
            limit=config.budget.limit,
        )
        self._mirror: MlflowMirror | None = None
        if config.tracking.mlflow:
            settings = config.tracking
            store = open_store(Path(config.root), settings.mlflow_uri, settings.experiment)
            self._mirror = MlflowMirror(opened.folder, store)
        if opened.resume_step is None:
            self._console.start()
            return
        self._console.start(f"resumed at step {opened.resume_step}")
        before = [read_rows(opened.folder / f"{name}.jsonl").rows for name in ("metrics", "eval")]
        self._console.resume(*before)

    def evaluation(self, clock: dict[str, Any], evaluation: Evaluation) -> None:
        """`clock` holds step, time, fraction and the compute spent so far. Raises runs.Pruned where
        whoever searches has seen enough of this run."""
        row = clock | {"questions": self._questions} | evaluation.metrics
        self._log.rollouts("eval", clock["step"], evaluation.rows)
        if evaluation.outcomes:
            self._log.rollouts("test_time", clock["step"], evaluation.outcomes)
        self._log.evaluation(row)
        self._console.evaluation(row)
        if self._hopeless is not None and self._hopeless():
            raise runs.Pruned

    def step(self, row: dict[str, Any]) -> None:
        self._log.step(row)
        self._console.step(row)

    def rollouts(self, step: int, rows: list[dict[str, Any]]) -> None:
        self._log.rollouts("train", step, rows)

    def checkpoint(self, path: Path, step: int) -> None:
        """From here on a resume can't undo the rows up to `step`, so MLflow may have them."""
        runs.seal_checkpoint(path, keep=self._config.trainer.keep_checkpoints)
        runs.write_status(self._folder, step=step)
        if self._mirror is not None:
            self._mirror.sync(step)

    def finish(self) -> None:
        """Sum up a run that has reached the end of its budget."""
        evaluations = read_rows(self._folder / "eval.jsonl").rows
        start, final = (_metrics(evaluations[index]) for index in (0, -1))
        spent = runs.read_status(self._folder).get("seconds", 0.0) + time.time() - self._began
        last = evaluations[-1]
        runs.write_status(
            self._folder,
            step=last["step"],
            fraction=last["fraction"],
            seconds=spent,
            start=start,
            final=final,
        )
        self._draw()
        if self._mirror is not None:
            self._mirror.finish("done")
        root = Path(self._config.root)
        commands = next_commands(self._folder, root, mlflow=self._mirror is not None)
        self._console.finish(start, final, self._folder, commands)

    def _draw(self) -> None:
        # matplotlib takes half a second to import, and only the end needs it.
        from spark_lab.analysis import coevolution

        coevolution.save(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._console.close()
        self._log.close()
        if kind is not None and self._mirror is not None:
            self._mirror.finish(next((s for k, s in _ENDINGS if issubclass(kind, k)), "failed"))


def _metrics(row: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key not in _CLOCK}
