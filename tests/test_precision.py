"""Which number format weights are kept in, and that small updates arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_spark import small, trainer_of

from spark_lab.build import build_generator
from spark_lab.models.precision import Precision, choose
from spark_lab.records import Prompt
from spark_lab.training.arguments import grpo_config

FLOAT, MIXED, HALF = (
    Precision("float32", False),
    Precision("float32", True),
    Precision("bfloat16", True),
)


@pytest.mark.parametrize(
    ("dtype", "bf16_gpu", "all_trained", "expected"),
    [
        ("auto", False, True, FLOAT),
        ("auto", False, False, FLOAT),
        ("auto", True, True, MIXED),
        ("auto", True, False, HALF),
        ("float32", True, True, FLOAT),
        ("mixed", False, True, MIXED),
        ("mixed", True, False, HALF),
        ("bfloat16", False, True, HALF),
    ],
)
def test_the_format_follows_the_device_and_what_is_trained(
    dtype: str, bf16_gpu: bool, all_trained: bool, expected: Precision
) -> None:
    assert choose(dtype, bf16_gpu=bf16_gpu, all_trained=all_trained) == expected


def share_moved(folder: Path, dtype: str) -> float:
    """The share of weights that one step at a usual rate for language models changes."""
    words = [f"model.dtype={dtype}", "trainer.learning_rate=1e-6", "budget.limit=1"]
    trainer, _ = trainer_of(small(*words, "objective=none"), folder)
    before = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
    return (before != after).float().mean().item()


def test_mixed_keeps_the_small_updates_that_bfloat16_rounds_away(tmp_path: Path) -> None:
    assert share_moved(tmp_path, "bfloat16") < 0.05
    assert share_moved(tmp_path, "mixed") > 0.9


def test_mixed_computes_in_bfloat16_alone_and_evaluates_as_it_trains(tmp_path: Path) -> None:
    config = small("model.dtype=mixed")
    trainer, _ = trainer_of(config, tmp_path)
    assert trainer.model.dtype == torch.float32 and trainer.args.bf16
    seen = []
    trainer.model.lm_head.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    for autocast in (trainer.args.bf16, False):
        generator = build_generator(
            config, trainer.model, trainer.processing_class, autocast=autocast
        )
        seen.clear()
        generator.complete([Prompt("7+1")])
        assert set(seen) == {torch.bfloat16 if autocast else torch.float32}


def test_the_reference_is_of_the_same_revision() -> None:
    arguments = dict(output=Path("unused"), seed=0, windows_per_update=1, ranks=1, on_cpu=True)
    for beta, expected in ((0.1, {"revision": "v1"}), (0.0, None)):
        settings = small(f"trainer.beta={beta}").trainer
        made = grpo_config(settings, bf16=False, revision="v1", **arguments)
        assert made.model_init_kwargs == expected
