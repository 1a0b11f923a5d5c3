"""Shared prompts in a training: which way is taken, whole groups, the same runs as TRL's."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_models import MODELS, SIZES, build, model_of, plain
from tiny_spark import small, trainer_of
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    Lfm2Config,
    MambaConfig,
    Qwen2Config,
)
from trl import GRPOConfig

from spark_lab.errors import UserError
from spark_lab.training.microbatches import keep_groups, sort_by_length
from spark_lab.training.shared_prompts import Choice, choose, score
from spark_lab.training.shared_prompts.trial import attempt, samples
from spark_lab.training.trainer import SparkGRPOTrainer


def choice(model, wanted: str = "auto", *, trial=lambda way: None, **changes) -> Choice:
    arguments = {"gradient_checkpointing": False, "use_liger_kernel": False} | changes
    processes, aux_loss = arguments.pop("processes", 1), arguments.pop("aux_loss", False)
    args = GRPOConfig("unused", use_cpu=True, bf16=False, report_to="none", **arguments)
    return choose(wanted, model, args, processes=processes, aux_loss=aux_loss, trial=trial)


def test_the_ways_that_are_allowed():
    model = model_of("qwen2")
    assert all(choice(model_of(name)) == Choice(("cache", "packed")) for name in MODELS)
    needs_one_forward = [
        ({"gradient_checkpointing": True}, "checkpointing"),
        ({"processes": 2}, "processes"),
        ({"aux_loss": True}, "mixture"),
    ]
    for changes, word in needs_one_forward:
        assert choice(model, **changes).ways == ("packed",)
        refused = choice(model, "cache", **changes)
        assert refused.ways == () and word in refused.reason
    assert choice(model, "packed").ways == ("packed",)
    assert choice(model, "cache").ways == ("cache",)


def test_what_stands_in_the_way():
    model = model_of("qwen2")
    assert "Liger" in choice(model, use_liger_kernel=True).reason
    dropping = build(GPT2Config(vocab_size=60, n_embd=8, n_head=2, n_layer=1))
    assert "dropout" in choice(dropping).reason
    config = Qwen2Config(**SIZES, attention_dropout=0.1)
    assert "dropout" in choice(AutoModelForCausalLM.from_config(config)).reason
    hybrid = Lfm2Config(**SIZES, layer_types=["conv", "full_attention", "conv"])
    assert "cache" in choice(AutoModelForCausalLM.from_config(hybrid)).reason
    mamba = MambaConfig(vocab_size=60, hidden_size=8, state_size=4, num_hidden_layers=1)
    assert "state-space" in choice(AutoModelForCausalLM.from_config(mamba)).reason
    bloom = BloomConfig(vocab_size=60, hidden_size=16, n_layer=1, n_head=2)
    bloom.hidden_dropout = bloom.attention_dropout = 0.0
    positions = choice(AutoModelForCausalLM.from_config(bloom), "packed")
    assert positions.ways == () and "positions" in positions.reason


def test_a_failed_trial_is_a_reason():
    model = model_of("qwen2")
    assert choice(model, trial={"cache": "no", "packed": None}.get).ways == ("packed",)
    assert choice(model, trial={"cache": "no", "packed": "nor this"}.get).reason == "no; nor this"


@pytest.mark.parametrize("name", ["qwen2", "mixtral"])
def test_a_trial_knows_the_precision_it_runs_in(name: str):
    model = build(model_of(name).config).to(torch.bfloat16)
    aux_loss = name == "mixtral"
    shared = partial(score, ["packed"], model, aux_loss=aux_loss)
    plainly = partial(plain, model, aux_loss=aux_loss)
    assert attempt(samples(model), shared, plainly, dtype=torch.bfloat16) is None

    def wrong(*batch):
        return shared(*batch)._replace(log_probs=shared(*batch).log_probs - 1)

    found = attempt(samples(model), wrong, plainly, dtype=torch.bfloat16)
    assert found == "on a trial batch this model gives other numbers"


def test_a_trial_leaves_the_window_and_means_nothing():
    """A mask that forgot the window would pass on short prompts; image tokens need images."""
    widths = [ids.shape[1] for ids, _, _ in samples(model_of("gemma3"))]
    assert widths == [6 + 3, 5 + 4 + 3]
    model = build(Qwen2Config(**SIZES, bos_token_id=3, eos_token_id=[5, 7]))
    (batch,) = samples(model)
    assert not set(batch[0].flatten().tolist()) & {3, 5, 7}


def shuffled(groups: list[int], size: int) -> list[dict]:
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(3))
    window = {
        "group": torch.tensor(groups)[order],
        "advantages": order.float(),
        "prompt_ids": order[:, None].expand(-1, 2).clone(),
        "prompt_mask": torch.ones(len(groups), 2, dtype=torch.long),
        "completion_ids": order[:, None].expand(-1, 4).clone(),
        "completion_mask": (torch.arange(4) <= order[:, None] % 4).long(),
        "num_items_in_batch": torch.tensor(9),
    }
    return [
        {key: value[i : i + size] if value.dim() else value for key, value in window.items()}
        for i in range(0, len(groups), size)
    ]


def test_groups_stay_whole_and_rows_survive():
    groups = [group for group in range(6) for _ in range(4)]
    batches = shuffled(groups, 8)
    order = list(dict.fromkeys(torch.cat([batch["group"] for batch in batches]).tolist()))
    assert order != sorted(order)
    for result in (keep_groups(batches), sort_by_length(keep_groups(batches), per_update=3)):
        assert [len(batch["group"].unique()) for batch in result] == [2, 2, 2]
        for batch in result:
            assert torch.equal(batch["group"], batch["advantages"].long() // 4)
            assert torch.equal(batch["prompt_ids"][:, 0], batch["advantages"].long())
        rows = torch.cat([batch["advantages"] for batch in result])
        assert sorted(rows.tolist()) == list(range(24))
    kept = torch.cat([batch["group"] for batch in keep_groups(batches)])
    assert list(dict.fromkeys(kept.tolist())) == order


MICRO = ["trainer.updates_per_window=1", "trainer.micro_batch_size=4", "trainer.beta=0.05"]


WAYS = {
    "cache": ["trainer.shared_prompts=cache"],
    "packed": ["trainer.shared_prompts=packed"],
    "checkpointing": ["trainer.activation_checkpointing=true"],
}


@pytest.mark.parametrize("micro_batch", ["null", "4"])
def test_a_run_of_the_trainer_is_trls(tmp_path: Path, micro_batch: str):
    """Sharing changes a run by rounding only, and computes fewer positions."""
    rows, positions, scoring = {}, {}, {}
    for name, settings in {"off": ["trainer.shared_prompts=off"], **WAYS}.items():
        config = small(
            *MICRO, f"trainer.micro_batch_size={micro_batch}", "budget.limit=3", *settings
        )
        trainer, notebook = trainer_of(config, tmp_path / name)
        trainer.generation = "TRL: the same samples for all"
        computed = count_positions(trainer)
        trainer.train()
        rows[name], positions[name] = notebook.rows, sum(computed)
        scoring[name] = trainer.scoring
    assert scoring == {
        "off": "TRL: shared_prompts=off",
        "cache": "shared prompts: cache",
        "packed": "shared prompts: packed",
        "checkpointing": "shared prompts: packed",
    }
    # TRL averages entropy and KL over micro-batches, so they know which rows were together.
    close = ["grad_norm"] if micro_batch == "4" else ["grad_norm", "entropy", "kl"]
    for name in WAYS:
        assert positions[name] < 0.75 * positions["off"]
        for ours, theirs in zip(rows[name], rows["off"], strict=True):
            assert ours.keys() == theirs.keys()
            for key in ours:
                if key in close:
                    assert ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-8), key
                elif key.startswith(("train/", "recycle/", "compute/")) and key != "compute/flops":
                    assert ours[key] == theirs[key], key


def count_positions(trainer: SparkGRPOTrainer) -> list[int]:
    """Positions of each training pass through the model's layers."""
    found: list[int] = []

    def note(_module, _args, output):
        if torch.is_grad_enabled():
            found.append(output.shape[0] * output.shape[1])

    trainer.model.get_input_embeddings().register_forward_hook(note)
    return found


def test_groups_are_in_one_micro_batch(tmp_path: Path):
    config = small(*MICRO, "budget.limit=2", "schedule=alternate")
    trainer, _ = trainer_of(config, tmp_path)
    seen = []
    compute = trainer._compute_loss

    def note(model, inputs):
        seen.append(len(inputs["group"].unique()))
        return compute(model, inputs)

    trainer._compute_loss = note
    trainer.train()
    assert len(seen) == 8 and set(seen) == {1}


def test_micro_batches_hold_groups_of_like_length_without_common_padding(tmp_path: Path):
    trainer, _ = trainer_of(small(*MICRO, "budget.limit=3"), tmp_path)
    seen, widths = [], []
    compute = trainer._compute_loss

    def note(model, inputs):
        masks = inputs["prompt_mask"], inputs["completion_mask"]
        longest = [int(mask.sum(1).max()) for mask in masks]
        assert longest == [mask.shape[1] for mask in masks]
        assert len(inputs["completion_ids"][0]) == longest[1]
        widths.append(tuple(longest))
        seen.append(int(sum(mask.sum(1) for mask in masks).max()))
        return compute(model, inputs)

    trainer._compute_loss = note
    trainer.train()
    windows = [seen[start : start + 4] for start in range(0, len(seen), 4)]
    assert len(windows) == 6 and all(window == sorted(window) for window in windows)
    assert len(set(widths)) > 6


@pytest.mark.parametrize("way", ["cache", "packed"])
@pytest.mark.parametrize("objective", ["schedule=alternate", "schedule=mixed"])
def test_a_resumed_open_window_is_exact(tmp_path: Path, objective: str, way: str):
    config = small(
        objective,
        f"trainer.shared_prompts={way}",
        "trainer.updates_per_window=2",
        "trainer.num_iterations=2",
        "trainer.micro_batch_size=4",
        "budget.limit=9",
        "trainer.save_every=6",
    )
    whole, expected = trainer_of(config, tmp_path / "whole")
    whole.train()
    resumed, found = trainer_of(config, tmp_path / "resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoints/checkpoint-6"))
    assert len(expected.rows) == 9 and found.rows == expected.rows[6:]
    for left, right in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_falling_back_is_said_and_another_way_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    dropout = ["model/lora=default", "model.lora.dropout=0.1"]
    with caplog.at_level(logging.WARNING):
        trainer, _ = trainer_of(small(*dropout, "budget.limit=1"), tmp_path)
    assert trainer.scoring.startswith("TRL: dropout")
    assert trainer.generation.startswith("TRL: dropout")
    said = [r.message for r in caplog.records if r.name.startswith("spark_lab.training.")]
    assert len(said) == 2 and all("dropout" in message for message in said)
    trainer.train()
    for way in ("cache", "packed"):
        with pytest.raises(UserError, match=f"{way}, but dropout"):
            trainer_of(small(*dropout, f"trainer.shared_prompts={way}"), tmp_path)
    with pytest.raises(UserError, match="cache, but activation checkpointing"):
        trainer_of(
            small("trainer.activation_checkpointing=true", "trainer.shared_prompts=cache"), tmp_path
        )
