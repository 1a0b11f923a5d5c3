"""Any combination of axes can be resumed: run(2N) equals run(N) and resume(N) to the last bit."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from random_axes import AXES, draw
from tiny_spark import trainer_of

HALF, COMBINATIONS = 3, 10


@pytest.fixture(scope="module")
def drawn() -> list:
    rng = random.Random(1)
    length = [f"budget.limit={2 * HALF}", f"trainer.save_every={HALF}"]
    return draw(rng, COMBINATIONS, *length)


def test_the_draws_meet_every_value_that_composes(drawn):
    met = {word for words, _ in drawn for word in words}
    wanted = {f"{axis}={value}" for axis, values in AXES.items() for value in values if value}
    assert wanted <= met, "another seed, or more draws"


@pytest.mark.parametrize("number", range(COMBINATIONS))
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, drawn, number: int):
    words, config = drawn[number]
    whole, expected = trainer_of(config, tmp_path / "whole")
    whole.train()
    resumed, found = trainer_of(config, tmp_path / "resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / f"whole/checkpoints/checkpoint-{HALF}"))
    assert len(expected.rows) == 2 * HALF
    assert found.rows == expected.rows[HALF:], words
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs), words
