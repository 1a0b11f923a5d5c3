"""What happens around an optimizer step: metering, evaluation, recording, and the end of the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from spark_lab import ranks
from spark_lab.training.graded import GradedGroup
from spark_lab.training.loop import SparkLoop
from spark_lab.training.meter import Budget, ComputeMeter
from spark_lab.training.rollouts import rollout_rows

# TRL logs about forty numbers a step; these are the ones that our own metrics do not cover.
_FROM_TRL = ("loss", "grad_norm", "learning_rate", "entropy", "kl", "aux_loss")


class Observer(Protocol):
    """Who listens to a run, on the main process; the other ranks have none."""

    def step(self, row: dict[str, Any]) -> None: ...

    def rollouts(self, step: int, rows: list[dict[str, Any]]) -> None: ...

    def checkpoint(self, path: Path, step: int) -> None: ...


class Recorder(TrainerCallback):
    """Drives meter, budget and evaluation on every rank, and tells the main one's observer.

    `evaluate(step)` is called at the start of a fresh run, every `eval_every` optimizer steps (0:
    never) and after the last one, before the step is recorded. It must not change any random state
    of the training.
    """

    def __init__(
        self,
        loop: SparkLoop,
        meter: ComputeMeter,
        budget: Budget,
        observer: Observer | None,
        evaluate: Callable[[int], None],
        *,
        eval_every: int,
        rollouts_every: int,
    ):
        self._loop = loop
        self._meter = meter
        self._budget = budget
        self._observer = observer
        self._evaluate = evaluate
        self._eval_every = eval_every
        self._rollouts_every = rollouts_every
        self._began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Not before: a model that is to be sharded waits on the CPU until then.
        if state.global_step == 0:
            self._evaluate(0)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._meter.updates += 1
        self._meter.seconds = ranks.of_main(self._meter.seconds + time.perf_counter() - self._began)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        last = self._budget.fraction(self._meter) >= 1.0 or self._loop.collapse is not None
        if last:
            control.should_training_stop = control.should_save = True
        if last or (self._eval_every and state.global_step % self._eval_every == 0):
            self._evaluate(state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:  # the summary that transformers logs after training
            return
        metrics, groups = self._loop.drain()
        if self._observer is None:
            return
        step = state.global_step
        kept = {
            key: value
            for key, value in logs.items()
            if value is not None and (key in _FROM_TRL or key.startswith("clip_ratio/"))
        }
        clock = {
            "step": step,
            "time": time.time(),
            "fraction": self._budget.fraction(self._meter),
        }
        self._observer.step(clock | kept | metrics | self._meter.row())
        if self._saves_rollouts(step, control):
            self._observer.rollouts(step, self._rows(groups, step))

    def _saves_rollouts(self, step: int, control: TrainerControl) -> bool:
        every = self._rollouts_every
        return bool(every) and (step == 1 or step % every == 0 or control.should_training_stop)

    @staticmethod
    def _rows(groups: list[GradedGroup], step: int) -> list[dict[str, Any]]:
        return [
            row
            for index, group in enumerate(groups)
            if not group.given
            for row in rollout_rows(group, index, step)
        ]

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._observer is not None:
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._observer.checkpoint(path, state.global_step)
