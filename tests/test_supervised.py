"""loss=sft: the recycled label is the completion, and the gradient is that of its cross-entropy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_spark import small, trainer_of

from spark_lab.answers import grade_verdict
from spark_lab.errors import UserError
from spark_lab.prompts import LABELS
from spark_lab.training.microbatches import keep_groups
from spark_lab.training.supervised import merge_copies, target_ids

SFT = ["objective=pointwise", "objective.pointwise.loss=sft", "schedule=alternate"]


def gradient(trainer, batches: list[dict]) -> torch.Tensor:
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = len(batches)
    for batch in batches:
        trainer._compute_loss(trainer.model, batch).backward()
    return torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()])


def cross_entropy_gradient(trainer, batch: dict, weight: float) -> torch.Tensor:
    """Of the mean over the labels' tokens, each item once, by transformers alone."""
    trainer.model.zero_grad()
    total, tokens = 0.0, 0
    for row in range(0, len(batch["completion_ids"]), trainer.num_generations):
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()]
        target = batch["completion_ids"][row][batch["completion_mask"][row].bool()]
        logits = trainer.model(torch.cat([prompt, target])[None]).logits[0]
        total = total + torch.nn.functional.cross_entropy(
            logits[len(prompt) - 1 : -1], target, reduction="sum"
        )
        tokens += len(target)
    (weight * total / tokens).backward()
    return torch.cat([one.grad.flatten() for one in trainer.model.parameters()])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory):
    """A trainer whose last window taught verdicts, and that window in two micro-batches."""
    config = small(*SFT, "objective.pointwise.weight=0.5", "trainer.micro_batch_size=8")
    trainer, _ = trainer_of(config, tmp_path_factory.mktemp("sft"))
    trainer.model.train()
    while True:
        window = trainer._generate_and_score_completions([{}] * 16)
        if "given" in window:
            break
    parts = [
        {
            key: value[half] if torch.is_tensor(value) and value.dim() else value
            for key, value in window.items()
        }
        for half in (slice(0, 8), slice(8, 16))
    ]
    return trainer, window, parts


def test_the_gradient_is_that_of_the_cross_entropy_and_copies_are_computed_once(judged) -> None:
    trainer, window, parts = judged
    expected = cross_entropy_gradient(trainer, window, 0.5)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gradient(trainer, parts), expected, atol=1e-5, rtol=1e-4)
    merged = merge_copies(parts)
    assert [len(part["completion_ids"]) for part in merged] == [2, 2]
    torch.testing.assert_close(gradient(trainer, merged), expected, atol=1e-5, rtol=1e-4)


def test_copies_that_lie_apart_and_sampled_rows_are_kept(judged) -> None:
    _, _, parts = judged
    batch = dict(parts[0])
    order = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])
    batch = {k: v[order] if torch.is_tensor(v) and v.dim() else v for k, v in batch.items()}
    batch["given"] = batch["group"] == batch["group"].min()
    [merged] = merge_copies([batch])
    assert merged["group"].tolist() == batch["group"][[0, 1, 3, 5, 7]].tolist()
    assert merged["advantages"].tolist() == [4 * 0.5, 0.5, 0.5, 0.5, 0.5]
    [sorted_batch] = keep_groups([merged])
    assert len(sorted_batch["group"]) == 5


def test_the_target_is_read_back_as_the_label(judged) -> None:
    trainer, window, _ = judged
    tokenizer = trainer.processing_class
    for labels in LABELS.values():
        for label in labels:
            ids = target_ids(tokenizer, rf"\boxed{{{label}}}")
            text = tokenizer.decode(ids, skip_special_tokens=True)
            assert grade_verdict(text, labels, label).reward == 1.0
            assert ids[-1] in trainer.eos_token_ids
    assert window["advantages"].tolist() == [0.5] * 16


def test_nothing_is_sampled_for_what_is_given(tmp_path: Path) -> None:
    trainer, notebook = trainer_of(small(*SFT, "budget.limit=6"), tmp_path)
    trainer.train()
    taught = [row for row in notebook.rows if "train/pointwise/count" in row]
    assert taught and {row["objective"] for row in notebook.rollout_rows} == {"solve"}
    tokens = sum(row["tokens"] for row in notebook.rollout_rows)
    assert trainer.meter.generated_tokens == tokens
    assert trainer.meter.rollouts == len(notebook.rollout_rows)
    lengths = sum(row["train/pointwise/count"] * row["train/pointwise/length"] for row in taught)
    assert trainer.meter.trained_tokens == tokens + lengths
    assert all("train/pointwise/reward_mean" not in row for row in taught)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objective.reflect.loss=sft", "objective.reflect.chain=true"], "no second attempts"),
        (["objective.pairwise.loss=sft", "trainer.scale_rewards=batch"], "none to scale with"),
        (["objective.pairwise.loss=sft", "trainer.vllm=colocate"], "whole groups only"),
        (
            [
                "objective.pointwise.loss=sft",
                "objective.pointwise.weight_schedule=competence",
                "objective.pointwise.weight_end=0",
            ],
            "as there are no rewards",
        ),
    ],
)
def test_what_needs_completions_of_the_policy_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        small(*overrides)
