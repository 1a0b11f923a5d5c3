"""Shared prompts on two processes: the losses and weights of one process that scores TRL's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from replayed import train
from safetensors.torch import load_file
from test_ranks import HERE, torchrun

# Groups of four in six rows a process: one of three groups is split. Two windows a step.
SETTINGS = ["schedule=joint", "trainer.prompts_per_window=3", "trainer.beta=0.05", "budget.limit=4"]


@pytest.mark.slow
def test_two_ranks_train_as_one(tmp_path: Path):
    train(tmp_path, "one", *SETTINGS, "trainer.shared_prompts=off")
    checkpointing = "trainer.activation_checkpointing=true"
    done = torchrun(str(HERE / "replayed.py"), str(tmp_path), "two", *SETTINGS, checkpointing)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert (one["scoring"], two["scoring"]) == ("TRL: shared_prompts=off", "shared prompts: packed")
    assert len(one["rows"]) == len(two["rows"]) == 4
    for expected, found in zip(one["rows"], two["rows"], strict=True):
        assert found.keys() == expected.keys()
        for key in ("loss", "grad_norm", "kl", "entropy"):
            assert found[key] == pytest.approx(expected[key], rel=1e-5, abs=1e-5), key
        for key in expected:
            if key.startswith(("train/", "recycle/", "compute/")) and key != "compute/flops":
                assert found[key] == expected[key], key
    start, one, two = (
        weights(tmp_path / f"{name}.safetensors") for name in ("start", "one", "two")
    )
    # Adam's first steps go by the sign of a gradient, be it rounding alone: compare the whole way.
    assert (two - one).norm() <= 1e-2 * (one - start).norm()


@pytest.mark.slow
def test_packed_rows_go_through_wrapped_models():
    done = torchrun(str(HERE / "wrapped.py"))
    assert done.returncode == 0, done.stderr[-3000:]
    for wrap in ("ddp", "fsdp1", "fsdp2"):
        for name in ("gemma3", "mixtral"):
            assert all(f"ok {wrap} {name} rank {rank}" in done.stdout for rank in (0, 1))


def weights(path: Path) -> torch.Tensor:
    return torch.cat([weight.flatten() for _, weight in sorted(load_file(path).items())])
