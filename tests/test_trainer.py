"""The trainer's contract: TRL's numbers without objectives, exact resume, honest weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_spark import small, trainer_of
from transformers import PrinterCallback
from trl import GRPOTrainer

from spark_lab import answers, prompts
from spark_lab.models.load import load_model
from spark_lab.tasks import build_task
from spark_lab.training.trainer import SparkGRPOTrainer


def weights(trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def plain_trl(config, args) -> GRPOTrainer:
    """TRL as its documentation says, on the same questions with the same reward."""
    task = build_task(config.task)
    solve = prompts.load("terse").solve

    def verifier(completions, answer, **_):
        return [
            answers.grade_answer("exact", turns[0]["content"], gold).reward
            for turns, gold in zip(completions, answer, strict=True)
        ]

    rows = [
        {
            "prompt": [{"role": "user", "content": prompts.fill(solve, question=q.text)}],
            "answer": q.answer,
        }
        for q in task.train
    ]
    model, tokenizer = load_model(config.model)
    trainer = GRPOTrainer(
        model,
        verifier,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


SHARED = (
    "per_device_train_batch_size steps_per_generation gradient_accumulation_steps num_generations "
    "num_iterations max_completion_length temperature learning_rate beta logging_steps report_to "
    "disable_tqdm use_cpu bf16 remove_unused_columns seed gradient_checkpointing adam_beta1 "
    "adam_beta2 max_grad_norm loss_type"
)


def logged(trainer) -> list[dict]:
    timings = ("time", "runtime", "per_second")
    return [
        {k: v for k, v in row.items() if not any(word in k for word in timings)}
        for row in trainer.state.log_history
    ]


@pytest.mark.parametrize(
    "batching",
    [
        # Six steps of one window each; then spg 4, mu 2, ga 2 over more than an epoch's end.
        ["budget.limit=6"],
        [
            "schedule=alternate",
            "trainer.prompts_per_window=8",
            "trainer.micro_batch_size=8",
            "trainer.updates_per_window=2",
            "trainer.num_iterations=2",
            "trainer.beta=0.05",
            "budget.limit=24",
        ],
    ],
)
def test_without_objectives_every_number_is_trls(tmp_path: Path, batching: list[str]):
    config = small("objective=none", "trainer.shared_prompts=off", *batching)
    ours = build(config, tmp_path / "ours")
    args = ours.args
    steps = int(config.budget.limit)
    if config.trainer.num_iterations == 2:
        batch = (args.steps_per_generation, ours.num_iterations, args.gradient_accumulation_steps)
        assert batch == (4, 2, 2)
    ours.train()
    theirs_args = type(args)(
        **{name: getattr(args, name) for name in SHARED.split()},
        output_dir=str(tmp_path / "theirs"),
        max_steps=steps,
        lr_scheduler_type="constant",
        save_strategy="no",
    )
    theirs = plain_trl(config, theirs_args)
    theirs.train()
    assert len(logged(ours)) == steps + 1
    # The last row is transformers' summary, whose `epoch` knows max_steps.
    assert logged(ours)[:steps] == logged(theirs)[:steps]
    assert equal(weights(ours), weights(theirs))
    assert max(row.get("reward", 0.0) for row in logged(ours)[:steps]) > 0
    assert max(row["grad_norm"] for row in logged(ours)[:steps]) > 0


def build(config, folder: Path) -> SparkGRPOTrainer:
    return trainer_of(config, folder)[0]


SCHEDULES = {
    "joint": ["schedule=joint"],
    "alternate": ["schedule=alternate"],
    "mixed": ["schedule=mixed"],
    # A window of four optimizer steps: the checkpoint lies in its middle.
    "alternate, open window": [
        "schedule=alternate",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
    ],
    "mixed, open window, reference model": [
        "schedule=mixed",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
        "trainer.micro_batch_size=2",
        "trainer.beta=0.05",
    ],
    "joint, LoRA": ["schedule=joint", "model/lora=default"],
    "joint, a slow self-judge with an anchor": [
        "schedule=joint",
        "reward=self_judge",
        "reward.labelled=0.5",
        "reward.false_positive=0.2",
        "reward.self_judge.judgements=2",
        "reward.self_judge.judge=ema",
        "reward.self_judge.anchor=0.6",
    ],
    "mixed, open window, verdicts given": [
        "schedule=mixed",
        "trainer.updates_per_window=2",
        "trainer.micro_batch_size=4",
        "objective.pointwise.loss=sft",
        "objective.pairwise.loss=sft",
    ],
    "alternate, TRL's scoring": ["schedule=alternate", "trainer.shared_prompts=off"],
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, name: str):
    # 22 questions a half epoch: the checkpoint at step 5 and an epoch's end lie in between.
    config = small(
        *SCHEDULES[name],
        "budget.limit=14",
        "recycle.label_balance=half",
        "trainer.save_every=5",
        "trainer.keep_checkpoints=9",
    )
    whole, expected = trainer_of(config, tmp_path / "whole")
    whole.train()
    resumed, found = trainer_of(config, tmp_path / "resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoints/checkpoint-5"))
    assert len(expected.rows) == 14
    assert found.rows == expected.rows[5:]
    judged = [row for row in expected.rows if any(key.startswith("train/p") for key in row)]
    assert judged, "the run must have had judge windows"
    assert equal(weights(whole), weights(resumed))


def test_evaluating_does_not_change_the_training(tmp_path: Path):
    from spark_lab.build import build_evaluator, build_generator

    config = small("budget.limit=4", "eval.every=1")
    plain, expected = trainer_of(config, tmp_path / "plain")
    plain.train()
    evaluations = []

    def evaluate(step: int) -> None:
        evaluations.append(evaluator(generator, step=step).metrics)

    evaluated, found = trainer_of(config, tmp_path / "evaluated", evaluate=evaluate)
    evaluator = build_evaluator(config, tmp_path / "judge_set.jsonl")
    generator = build_generator(config, evaluated.model, evaluated.processing_class)
    evaluated.train()
    assert len(evaluations) == 5 and "policy/accuracy" in evaluations[0]
    assert found.rows == expected.rows
    assert equal(weights(plain), weights(evaluated))


def test_loss_weights_scale_the_gradient_of_their_objective(tmp_path: Path):
    norms = {}
    for weight in (1.0, 2.0, 0.0):
        config = small(
            "objective=pointwise",
            "schedule=alternate",
            "budget.limit=4",
            f"objective.pointwise.weight={weight}",
            "trainer.learning_rate=1e-9",
            "trainer.max_grad_norm=1000",
            "trainer.group_size=8",
        )
        trainer, notebook = trainer_of(config, tmp_path / str(weight))
        trainer.train()
        judged = [row for row in notebook.rows if "train/pointwise/count" in row]
        assert "train/solve/count" not in judged[0]
        norms[weight] = judged[0]["grad_norm"]
    assert norms[1.0] > 0 and norms[0.0] == 0
    assert norms[2.0] == pytest.approx(2 * norms[1.0], rel=1e-3)


def test_arms_meet_the_same_questions_in_the_same_order(tmp_path: Path):
    asked = {}
    for objective in ("none", "pointwise", "spark"):
        trainer, notebook = trainer_of(
            small(f"objective={objective}", "budget.limit=6"), tmp_path / objective
        )
        trainer.train()
        rows = [row for row in notebook.rollout_rows if row["objective"] == "solve"]
        asked[objective] = [row["question"] for row in rows[::4]][:24]
    assert asked["none"] == asked["pointwise"] == asked["spark"]


def test_the_budget_ends_a_run_in_any_unit(tmp_path: Path):
    config = small("objective=spark", "budget=rollouts", "budget.limit=100")
    trainer, notebook = trainer_of(config, tmp_path)
    trainer.train()
    # 32 rollouts a joint step: the fourth one crosses the limit.
    assert [row["compute/rollouts"] for row in notebook.rows] == [32, 64, 96, 128]
    assert notebook.rows[-1]["fraction"] == 1.0


def test_recycled_rollouts_and_their_rows(tmp_path: Path):
    trainer, notebook = trainer_of(small("budget.limit=6"), tmp_path)
    trainer.train()
    judged = [row for row in notebook.rollout_rows if row["objective"] != "solve"]
    assert {row["objective"] for row in judged} == {"pointwise", "pairwise", "reflect"}
    for row in judged:
        assert row["source_window"] < row["window"]
        assert row["correct"] == (row["reward"] == 1.0)
    for row in notebook.rows[1:]:
        assert row["recycle/size"] <= 36 and row["recycle/produced"] <= 8


def test_the_paper_recipe_runs_at_a_small_size(tmp_path: Path):
    config = small(
        "preset=paper_spark",
        "trainer.max_completion_length=40",
        "trainer.updates_per_window=2",
        "trainer.micro_batch_size=4",
        "budget=steps",
        "budget.limit=8",
    )
    assert config.schedule.kind == "alternate" and config.recycle.take == "fifo"
    assert config.trainer.beta == 1e-3 and config.trainer.learning_rate == 5e-7
    trainer, notebook = trainer_of(config, tmp_path)
    trainer.train()
    # A window of four groups is two optimizer steps: solve, judge, solve, judge.
    windows = [
        sorted(key.split("/")[1] for key in row if key.endswith("/count"))
        for row in notebook.rows[::2]
    ]
    assert windows[0] == windows[2] == ["solve"]
    assert "solve" not in windows[1] and set(windows[1]) <= {"pointwise", "pairwise", "reflect"}
    assert all("kl" in row for row in notebook.rows)
