"""One experiment, top to bottom: open its folder, build, train, evaluate, finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from spark_lab import ranks, runs
from spark_lab.errors import Collapse, Problem, UserError
from spark_lab.schema import Config, ModelConfig

if TYPE_CHECKING:
    from spark_lab.observer import RunObserver
    from spark_lab.training.trainer import SparkGRPOTrainer


def run(config: Config, overrides: list[str], hopeless: Callable[[], bool] | None = None) -> None:
    """Train one arm with one seed, or say that it is already done, or resume where it was torn.

    `hopeless` is asked after each evaluation has been written; its yes ends the run by runs.Pruned.
    Raises UserError for bad input, before any model is loaded, and Collapse where the run ended
    itself: its last evaluation and checkpoint are there, its status is failed.
    """
    if ranks.count() > 1:
        _run_together(config, overrides)
        return
    opened = _open(config, overrides)
    if not _said_done(opened):
        _record(opened, hopeless)


def _run_together(config: Config, overrides: list[str]) -> None:
    """The same on every rank of a run that torchrun shares out; rank 0 owns the folder."""
    trainer = config.trainer
    rows = trainer.prompts_per_window * trainer.group_size
    problems = ranks.check(rows, trainer.updates_per_window, trainer.micro_batch_size)
    judge = config.reward.self_judge
    problems += ranks.check_sharding(slow_judge=judge is not None and judge.judge != "current")
    with ranks.together():
        opened: runs.Run | None = None

        def decide() -> tuple[int | None, bool]:
            nonlocal opened
            if problems:
                raise UserError(*problems)
            opened = _open(config, overrides)
            return opened.resume_step, opened.done

        decision = ranks.decided_by_main(decide)
        if opened is None:
            follower = runs.Run(runs.folder_of(config), config, *decision)
            if not follower.done:
                _follow(follower)
        elif not _said_done(opened):
            _record(opened)


def _open(config: Config, overrides: list[str]) -> runs.Run:
    opened = runs.open_run(config, overrides)
    try:
        _refuse_collapsed(opened.folder)
    except Collapse:
        opened.close()
        raise
    return opened


def _refuse_collapsed(folder: Path) -> None:
    """A run that has collapsed would collapse again."""
    seen = runs.read_status(folder).get("collapse")
    if seen is not None:
        raise Collapse(
            Problem(
                f"{folder}: reward.self_judge",
                seen,
                "a judge that tells right from wrong",
                "reward.self_judge.judge=ema, more labelled questions (reward.labelled or"
                " reward.self_judge.anchor), or reward.self_judge.stop_after=0 to go on regardless",
            )
        )


def _said_done(opened: runs.Run) -> bool:
    if opened.done:
        print(f"already done: {opened.folder}  (force=true runs it again)")
    return opened.done


def _record(opened: runs.Run, hopeless: Callable[[], bool] | None = None) -> None:
    """Train on the only process, or on rank 0, and write down how it goes."""
    # Torch and TRL take ten seconds to import: a skipped or refused run does not pay for them.
    from spark_lab.observer import RunObserver
    from spark_lab.tasks import build_task

    config, folder = opened.config, opened.folder
    twin: Path | None = None
    with runs.recording(opened):
        task = build_task(config.task)
        questions = task.fingerprint()
        _say_left_out(config, task.counts)
        runs.write_env(
            folder,
            dataset_fingerprint=questions,
            dataset=task.counts,
            **weights(config.model),
            ranks=ranks.count(),
        )
        fresh = opened.resume_step is None and not config.force
        if config.reuse and fresh and ranks.count() == 1:
            twin = runs.find_twin(opened)
        if twin is None:
            with RunObserver(opened, questions=questions, hopeless=hopeless) as observer:
                if not _spent(opened):
                    _train(opened, observer)
                observer.finish()
        else:
            runs.adopt(twin, folder)
    if twin is not None:
        _say_adopted(opened, twin)


def weights(model: ModelConfig) -> dict[str, str]:
    """What tells the weights from others: the sha256 of a folder's files, or the commit of a hub's."""
    from spark_lab.models.load import hub_commit, resolve_path

    folder = Path(resolve_path(model.path))
    if folder.is_dir():
        return {"model_sha256": runs.weights_digest(folder)}
    return {"model_commit": hub_commit(model)}


def _say_left_out(config: Config, counts: dict[str, int]) -> None:
    """What of a data set is not asked, or twice: it changes what the numbers are about."""
    notes = [f"{count} {name}" for name, count in counts.items() if name not in ("train", "eval")]
    if notes and config.tracking.console != "off":
        print(f"of the questions: {', '.join(notes)}")


def _say_adopted(opened: runs.Run, twin: Path) -> None:
    settings, root = opened.config.tracking, Path(opened.config.root)
    print(f"taken over from {twin}: the same run  (reuse=false runs it again)")
    if settings.mlflow:
        from spark_lab.tracking.store import open_store
        from spark_lab.tracking.sync import sync_run

        sync_run(opened.folder, open_store(root, settings.mlflow_uri, settings.experiment))


def _follow(opened: runs.Run) -> None:
    """Train as one of the other ranks, which write nothing."""
    if not _spent(opened):
        _train(opened, None)


def _train(opened: runs.Run, observer: RunObserver | None) -> None:
    from spark_lab.build import build_trainer, server_is_up
    from spark_lab.training.meter import Budget

    with server_is_up(opened.config.trainer):
        trainer = build_trainer(opened.config, opened.folder, ranks=ranks.count())
    if observer is not None:
        runs.write_env(opened.folder, **_ways(trainer), parameters=trainer.model.num_parameters())
    _attach(trainer, observer, opened)
    trainer.train(resume_from_checkpoint=opened.resume_checkpoint)
    if observer is not None:  # the first images may have shown that others are needed
        runs.write_env(opened.folder, **_ways(trainer))
    seen, spent = trainer.loop.collapse, Budget.of(opened.config.budget).fraction(trainer.meter)
    if seen is not None and spent < 1.0 and observer is not None:
        runs.write_status(opened.folder, collapse=f"{seen}, by step {trainer.state.global_step}")
        _refuse_collapsed(opened.folder)


def _ways(trainer: SparkGRPOTrainer) -> dict[str, str]:
    """How log-probabilities are computed and completions are sampled, in words."""
    return {"scoring": trainer.scoring, "generation": trainer.generation}


def _spent(opened: runs.Run) -> bool:
    """Whether a resumed run was torn after its last step: another one would exceed its budget."""
    from spark_lab.tracking.jsonl import read_rows

    if opened.resume_step is None:
        return False
    rows = read_rows(opened.folder / "eval.jsonl").rows
    return bool(rows) and rows[-1]["step"] == opened.resume_step and rows[-1]["fraction"] >= 1.0


def _attach(trainer: SparkGRPOTrainer, observer: RunObserver | None, opened: runs.Run) -> None:
    """Evaluate whenever the recorder says so.

    Every rank evaluates alike: a model that is sharded over them needs all of them for a forward.
    """
    from spark_lab.build import build_evaluator, build_generator
    from spark_lab.training.callbacks import Recorder
    from spark_lab.training.meter import Budget

    config = opened.config
    budget = Budget.of(config.budget)
    evaluator = build_evaluator(config, opened.folder / "judge_set.jsonl")
    generator = build_generator(
        config, trainer.model, trainer.processing_class, autocast=trainer.args.bf16
    )

    def evaluate(step: int) -> None:
        fraction = budget.fraction(trainer.meter)
        clock = {"step": step, "time": time.time(), "fraction": fraction}
        found = evaluator(generator, step=step, last=fraction >= 1.0)
        if observer is not None:
            observer.evaluation(clock | trainer.meter.row(), found)

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
