"""Each prompt computed once: the same log-probabilities, entropies and gradients as TRL's own pass."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_spark import small, trainer_of
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from trl import GRPOConfig
from trl.trainer.utils import add_fused_lm_head

from spark_lab.errors import UserError
from spark_lab.training import shared_prompts
from spark_lab.training.microbatches import keep_groups, sort_by_length
from spark_lab.training.trainer import SparkGRPOTrainer

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MODELS: dict[str, PreTrainedConfig] = {
    "qwen2": Qwen2Config(**SIZES),
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "gemma3": Gemma3TextConfig(
        **SIZES,
        head_dim=8,
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        final_logit_softcapping=20.0,
    ),
    "mixtral": MixtralConfig(**SIZES, num_local_experts=4),
    "gpt2": GPT2Config(
        vocab_size=60,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=64,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    ),
}
TEMPERATURE = 0.7


def model_of(config: PreTrainedConfig, attention: str = "sdpa"):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    # Random weights of the usual size make every token equally likely, which would hide mistakes.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(4)
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    return model


def batch_of(
    prompts: list[int],
    completions: list[int],
    which: list[int],
    *,
    width: int = 0,
    length: int = 0,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Rows of random tokens: `which` prompt each has, and its completion's number of tokens."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(count: int) -> torch.Tensor:
        return torch.randint(0, 60, (count,), generator=generator)

    width, length = max(width, *prompts), max(length, *completions, 1)
    texts = [tokens(size) for size in prompts]
    ids = torch.zeros(len(which), width + length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, size) in enumerate(zip(which, completions, strict=True)):
        begin = width - prompts[prompt]
        ids[row, begin:width], mask[row, begin : width + size] = texts[prompt], 1
        ids[row, width : width + size] = tokens(size)
    return ids, mask, length


def plain(model, ids, mask, length):
    """What TRL 1.16's `_get_per_token_logps_and_entropies` calls."""
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-length] = -100
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return output.log_probs[:, -length:], output.entropy[:, -length:]


def shared(model, ids, mask, length):
    output = shared_prompts.score(model, ids, mask, length)
    return output.log_probs, output.entropy


def gradient(model, logps, entropies) -> torch.Tensor:
    """Of a sum that weighs every token's log-probability and entropy differently."""
    weights = torch.linspace(-1, 1, logps.numel()).view_as(logps)
    model.zero_grad()
    (weights * logps + 0.1 * weights.flip(1) * entropies).sum().backward()
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


def check(model, batch) -> None:
    theirs, ours = plain(model, *batch), shared(model, *batch)
    for left, right in zip(ours, theirs, strict=True):
        assert left.shape == right.shape
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)
    expected, found = gradient(model, *theirs), gradient(model, *ours)
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-5 * expected.norm()


RAGGED = {
    "groups": ([7, 3], [5, 1, 3, 5, 2, 4], [0, 0, 0, 1, 1, 1]),
    "any order": ([7, 3, 9], [5, 1, 3, 5, 2, 4], [2, 0, 1, 0, 2, 0]),
    "one row each": ([7, 3], [4, 2], [0, 1]),
    "one-token prompts": ([1, 1, 6], [3, 2, 3, 1, 2], [0, 0, 1, 2, 2]),
    "empty completions": ([4, 6], [0, 3, 0, 0], [0, 0, 1, 1]),
}


@pytest.mark.parametrize("rows", RAGGED)
@pytest.mark.parametrize("name", MODELS)
def test_the_same_numbers_as_plain(name: str, rows: str):
    check(model_of(MODELS[name]), batch_of(*RAGGED[rows]))


@pytest.mark.parametrize("name", ["qwen2", "gemma3"])
def test_eager_attention_too(name: str):
    check(model_of(MODELS[name], "eager"), batch_of(*RAGGED["any order"]))


@pytest.mark.parametrize("disabled", [False, True])
def test_lora(disabled: bool):
    model = get_peft_model(model_of(MODELS["qwen2"]), LoraConfig(r=2, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    batch = batch_of(*RAGGED["any order"])
    if not disabled:
        check(model, batch)
        return
    adapted = plain(model, *batch)[0]
    with torch.no_grad(), model.disable_adapter():
        reference, found = plain(model, *batch)[0], shared(model, *batch)[0]
    torch.testing.assert_close(found, reference, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(adapted, reference, atol=1e-2)


@pytest.mark.parametrize("seed", range(30))
def test_any_shape(seed: int):
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, count: int = 1) -> list[int]:
        return torch.randint(low, high + 1, (count,), generator=generator).tolist()

    (count,), (rows,) = draw(1, 4), draw(1, 9)
    prompts, completions = draw(1, 12, count), draw(0, 8, rows)
    which = [index % count for index in draw(0, 99, rows)]
    width, length = 2 + draw(0, 12)[0], draw(1, 9)[0]
    batch = batch_of(prompts, completions, which, width=width, length=length, seed=seed)
    name = sorted(MODELS)[seed % len(MODELS)]
    if completions and max(completions) > 0:
        check(model_of(MODELS[name]), batch)


def test_a_prompt_of_two_groups_is_computed_once():
    ids, mask, length = batch_of([5, 4], [2] * 6, [0, 1, 0, 1, 1, 0])
    first, place = shared_prompts.distinct(ids[:, :-length], mask[:, :-length])
    assert sorted(first.tolist()) == [0, 1]
    assert torch.equal(ids[first][place][:, :-length], ids[:, :-length])


def test_padding_is_not_a_token():
    ids = torch.tensor([[0, 5, 6], [0, 5, 6]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert len(shared_prompts.distinct(ids, mask)[0]) == 2


def test_where_sharing_pays():
    assert shared_prompts.worthwhile(*batch_of([9], [4, 4], [0, 0]))
    assert not shared_prompts.worthwhile(*batch_of([9, 9], [4, 4], [0, 1]))
    assert not shared_prompts.worthwhile(*batch_of([1], [4, 4], [0, 0]))
    assert not shared_prompts.worthwhile(*batch_of([2], [40, 40], [0, 0]))


def obstacle(model, **changes) -> str | None:
    arguments = {"gradient_checkpointing": False, "use_liger_kernel": False} | changes
    processes, aux_loss = arguments.pop("processes", 1), arguments.pop("aux_loss", False)
    args = GRPOConfig("unused", use_cpu=True, bf16=False, report_to="none", **arguments)
    return shared_prompts.obstacle(model, args, processes=processes, aux_loss=aux_loss)


def test_what_stands_in_the_way():
    model = model_of(MODELS["qwen2"])
    assert all(obstacle(model_of(config)) is None for config in MODELS.values())
    assert "checkpointing" in obstacle(model, gradient_checkpointing=True)
    assert "processes" in obstacle(model, processes=2)
    assert "mixture" in obstacle(model, aux_loss=True)
    assert "dropout" in obstacle(model_of(GPT2Config(vocab_size=60, n_embd=8, n_head=2, n_layer=1)))
    config = Qwen2Config(**SIZES, attention_dropout=0.1)
    assert "dropout" in obstacle(AutoModelForCausalLM.from_config(config))
    hybrid = Lfm2Config(**SIZES, layer_types=["conv", "full_attention", "conv"])
    assert "cache" in obstacle(AutoModelForCausalLM.from_config(hybrid))
    mamba = MambaConfig(vocab_size=60, hidden_size=8, state_size=4, num_hidden_layers=1)
    assert "state-space" in obstacle(AutoModelForCausalLM.from_config(mamba))


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


@pytest.mark.parametrize("micro_batch", ["null", "4"])
def test_a_run_of_the_trainer_is_trls(tmp_path: Path, micro_batch: str):
    """Sharing changes a run by rounding only, and computes fewer positions."""
    rows, positions = {}, {}
    for way in ("off", "cache"):
        config = small(
            *MICRO,
            f"trainer.micro_batch_size={micro_batch}",
            "budget.limit=3",
            f"trainer.shared_prompts={way}",
        )
        trainer, notebook = trainer_of(config, tmp_path / way)
        computed = count_positions(trainer)
        trainer.train()
        rows[way], positions[way] = notebook.rows, sum(computed)
        expected = "TRL: shared_prompts=off" if way == "off" else "shared prompts: cache"
        assert trainer.scoring == expected
    assert positions["cache"] < 0.75 * positions["off"]
    # TRL averages entropy and KL over micro-batches, so they know which rows were together.
    close = ["grad_norm"] if micro_batch == "4" else ["grad_norm", "entropy", "kl"]
    for ours, theirs in zip(rows["cache"], rows["off"], strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours:
            if key in close:
                assert ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-8), key
            elif key.startswith(("train/", "recycle/", "compute/")):
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


@pytest.mark.parametrize("objective", ["schedule=alternate", "schedule=mixed"])
def test_a_resumed_open_window_is_exact(tmp_path: Path, objective: str):
    config = small(
        objective,
        "trainer.shared_prompts=cache",
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


def test_falling_back_is_said_and_cache_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    checkpointing = "trainer.activation_checkpointing=true"
    with caplog.at_level(logging.WARNING):
        trainer, _ = trainer_of(small(checkpointing, "budget.limit=1"), tmp_path)
    assert "activation checkpointing" in trainer.scoring
    said = [r.message for r in caplog.records if r.name == "spark_lab.training.trainer"]
    assert len(said) == 1 and "activation checkpointing" in said[0]
    trainer.train()
    with pytest.raises(UserError, match="activation checkpointing"):
        trainer_of(small(checkpointing, "trainer.shared_prompts=cache"), tmp_path)
