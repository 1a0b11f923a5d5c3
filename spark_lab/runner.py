"""One experiment, top to bottom: open its folder, build, train, evaluate, finish."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from spark_lab import runs
from spark_lab.schema import Config


def run(config: Config, overrides: list[str]) -> None:
    """Train one arm with one seed, or say that it is already done, or resume where it was torn.

    Raises UserError for bad input, before any model is loaded.
    """
    opened = runs.open_run(config, overrides)
    if opened.done:
        print(f"already done: {opened.folder}  (force=true runs it again)")
        return
    with runs.recording(opened):
        _train(opened)


def _train(opened: runs.Run) -> None:
    # Torch and TRL take ten seconds to import: a skipped or refused run does not pay for them.
    from spark_lab.build import build_evaluator, build_generator, build_trainer
    from spark_lab.training.callbacks import Recorder
    from spark_lab.training.meter import Budget

    config, folder = opened.config, opened.folder
    trainer = build_trainer(config, folder)
    with ExitStack() as stack:
        observer = stack.enter_context(RunObserver(opened))
        evaluator = build_evaluator(config, folder)
        generator = build_generator(config, trainer.model, trainer.processing_class)

        def evaluate(step: int) -> None:
            fraction = budget.fraction(trainer.meter)
            clock = {"step": step, "time": time.time(), "fraction": fraction}
            observer.evaluation(clock | trainer.meter.row(), evaluator(generator))

        budget = Budget.of(config.budget)
        recorder = Recorder(
            trainer.loop,
            trainer.meter,
            budget,
            observer,
            evaluate,
            eval_every=config.eval.every,
            rollouts_every=config.tracking.rollouts_every,
        )
        trainer.add_callback(recorder)
        if opened.resume_step is None:
            evaluate(0)
        trainer.train(resume_from_checkpoint=opened.resume_checkpoint)
        observer.finish()
