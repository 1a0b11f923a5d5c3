"""One experiment, top to bottom: open its folder, build, train, evaluate, finish."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from spark_lab import runs
from spark_lab.schema import Config

if TYPE_CHECKING:
    from spark_lab.observer import RunObserver
    from spark_lab.training.trainer import SparkGRPOTrainer


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
    from spark_lab.build import build_trainer
    from spark_lab.models.load import resolve_path
    from spark_lab.observer import RunObserver
    from spark_lab.tasks import build_task

    config, folder = opened.config, opened.folder
    questions = build_task(config.task).fingerprint()
    weights = runs.weights_digest(Path(resolve_path(config.model.path)))
    runs.write_env(folder, dataset_fingerprint=questions, model_sha256=weights)
    with RunObserver(opened, questions=questions) as observer:
        if _spent(opened):
            observer.finish()
            return
        trainer = build_trainer(config, folder)
        runs.write_env(folder, scoring=trainer.scoring)
        _attach(trainer, observer, opened)
        trainer.train(resume_from_checkpoint=opened.resume_checkpoint)
        observer.finish()


def _spent(opened: runs.Run) -> bool:
    """Whether a resumed run was torn after its last step: another one would exceed its budget."""
    from spark_lab.tracking.jsonl import read_rows

    if opened.resume_step is None:
        return False
    rows = read_rows(opened.folder / "eval.jsonl").rows
    return bool(rows) and rows[-1]["step"] == opened.resume_step and rows[-1]["fraction"] >= 1.0


def _attach(trainer: SparkGRPOTrainer, observer: RunObserver, opened: runs.Run) -> None:
    """Evaluate at the start, and from now on whenever the recorder says so."""
    from spark_lab.build import build_evaluator, build_generator
    from spark_lab.training.callbacks import Recorder
    from spark_lab.training.meter import Budget

    config = opened.config
    budget = Budget.of(config.budget)
    evaluator = build_evaluator(config, opened.folder)
    generator = build_generator(config, trainer.model, trainer.processing_class)

    def evaluate(step: int) -> None:
        clock = {"step": step, "time": time.time(), "fraction": budget.fraction(trainer.meter)}
        observer.evaluation(clock | trainer.meter.row(), evaluator(generator, step=step))

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
