"""Completions with each prompt computed once: the tokens and the distribution of `generate`."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import EXPERTS, MODELS, SIZES, build, model_of
from transformers import AutoModelForCausalLM, GenerationConfig, Lfm2Config, MambaConfig

from spark_lab.models import roomy_cache
from spark_lab.models.decoding import Sampling, decode, exact, obstacle

# Groups of a prompt in any order; lengths from 1 to 9, so that most rows are padded on the left.
PROMPTS = [[7, 3, 9, 9], [5], [7, 3, 9, 9], [2, 8, 4, 1, 6, 2, 8, 4, 1], [5], [11, 12]]
PAD = 0


def config_of(length: int, ends: list[int], **settings) -> GenerationConfig:
    plain = {"do_sample": False} | settings
    return GenerationConfig(max_new_tokens=length, eos_token_id=ends, pad_token_id=PAD, **plain)


@torch.no_grad()
def generated(model, prompts: list[list[int]], config: GenerationConfig) -> list[list[int]]:
    """What transformers generates, each row up to its end token."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in prompts])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    rows = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    found = []
    for row in rows[:, width:].tolist():
        end = next((i for i, token in enumerate(row) if token in config.eos_token_id), len(row))
        found.append(row[: end + 1])
    return found


@torch.no_grad()
def ours(model, prompts: list[list[int]], length: int, ends: list[int], **settings):
    return decode(model, prompts, max_new_tokens=length, ends=ends, pad=PAD, **settings)


def luck(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, length, dtype=torch.float64, generator=generator)


FAMILIES = [(name, "sdpa") for name in MODELS] + [("gpt_oss", "eager"), ("gemma3", "eager")]


@pytest.mark.parametrize(("name", "attention"), FAMILIES)
def test_greedy_tokens_are_those_of_generate(
    monkeypatch: pytest.MonkeyPatch, name: str, attention: str
):
    """Past the sliding window of 5, and past the room that a cache is given at once."""
    monkeypatch.setattr(roomy_cache, "ROOM", 7)
    model = model_of(name, attention).eval()
    free = generated(model, PROMPTS, config_of(20, [59]))
    assert ours(model, PROMPTS, 20, [59]) == free
    # End tokens that come up early in some rows and not in others.
    ends = [row[len(row) // 4] for row in free[1:4:2]]
    expected = generated(model, PROMPTS, config_of(20, ends))
    assert len(set(map(len, expected))) > 1
    assert ours(model, PROMPTS, 20, ends) == expected


def test_an_adapter_is_part_of_the_model():
    base = build(MODELS["llama"]).eval()
    plain = ours(base, PROMPTS, 12, [59])
    lora = LoraConfig(r=4, target_modules="all-linear", exclude_modules="lm_head")
    adapted = get_peft_model(base, lora).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    assert ours(adapted, PROMPTS, 12, [59]) == generated(adapted, PROMPTS, config_of(12, [59]))
    assert ours(adapted, PROMPTS, 12, [59]) != plain


WARPED = {
    "plain": {},
    "temperature": {"temperature": 1.7},
    "top_k": {"temperature": 0.8, "top_k": 5},
    "top_p": {"temperature": 1.3, "top_p": 0.7},
    "all": {"temperature": 1.5, "top_k": 9, "top_p": 0.8},
}


@pytest.mark.parametrize("name", WARPED)
def test_samples_are_distributed_as_generate_distributes_them(name: str):
    """Chi-square of the first token, and of the second one whatever the first, over 4,000 rows."""
    settings, model, rows = WARPED[name], build(MODELS["qwen2"]).eval(), 4000
    with torch.no_grad():
        model.lm_head.weight.mul_(4)  # else all tokens are about equally likely
    prompts = [[7, 3, 9, 9], [5]]
    sampling = Sampling(**settings)
    found = ours(model, prompts * rows, 2, [], sampling=sampling, luck=luck(2 * rows, 2))
    config = config_of(1, [59], do_sample=True, **({"top_k": 0} | settings))
    config.update(output_scores=True, return_dict_in_generate=True)
    for prompt, own in zip(prompts, (found[::2], found[1::2]), strict=True):
        pairs = _two_tokens(model, prompt, config)
        tokens = torch.tensor(own)
        assert pairs[tokens[:, 0], tokens[:, 1]].min() > 0
        for column, expected in enumerate((pairs.sum(1), pairs.sum(0))):
            counts = torch.bincount(tokens[:, column], minlength=60).double()
            _check_chi_square(counts, expected * rows)


def _check_chi_square(counts: torch.Tensor, expected: torch.Tensor) -> None:
    """Rare outcomes are pooled; chi-square has mean n and standard deviation sqrt(2 n)."""
    rare = expected < 5
    counts = torch.cat([counts[~rare], counts[rare].sum()[None] + 5])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None] + 5])
    degrees = len(expected) - 1
    assert degrees >= 4
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < degrees + 5 * (2 * degrees) ** 0.5


@torch.no_grad()
def _two_tokens(model, prompt: list[int], config: GenerationConfig) -> torch.Tensor:
    """Probability of each pair of first tokens, by generate's own scores."""

    def next_token(ids: torch.Tensor) -> torch.Tensor:
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
        return output.scores[0].softmax(-1).double()

    ids = torch.tensor([prompt])
    first = next_token(ids)[0]
    longer = torch.cat([ids.expand(60, -1), torch.arange(60)[:, None]], dim=1)
    return first[:, None] * next_token(longer)


def test_a_rows_draws_are_its_own():
    """Neither other rows nor the moment at which they end change a completion."""
    model, length = model_of("llama").eval(), 24
    draws = luck(len(PROMPTS), length)
    sampling = Sampling(temperature=1.5)
    ends = list(range(0, 60, 9))
    together = ours(model, PROMPTS, length, ends, sampling=sampling, luck=draws)
    assert len(set(map(len, together))) > 2 and together[0] != together[2]
    for index, prompt in enumerate(PROMPTS):
        (alone,) = ours(
            model, [prompt], length, ends, sampling=sampling, luck=draws[index : index + 1]
        )
        assert alone == together[index]
    for found in together:
        assert all(token not in ends for token in found[:-1])
        assert found[-1] in ends or len(found) == length


def test_each_prompt_runs_once_and_rows_that_ended_no_more():
    model = build(MODELS["qwen2"]).eval()
    computed = []
    model.get_input_embeddings().register_forward_hook(
        lambda _module, _args, output: computed.append(tuple(output.shape[:2]))
    )
    draws, ends = luck(len(PROMPTS), 24), list(range(0, 60, 9))
    found = ours(model, PROMPTS, 24, ends, sampling=Sampling(), luck=draws)
    lengths = list(map(len, found))
    running = [sum(length > step for length in lengths) for step in range(1, max(lengths))]
    assert computed == [(4, 9), *((rows, 1) for rows in running if rows)]


def test_which_models_decode_and_that_a_trial_would_notice():
    for name in [*MODELS, *EXPERTS]:
        model = model_of(name, "eager" if name == "gpt_oss" else "sdpa").eval()
        assert obstacle(model) is None and exact(model), name
    hybrid = Lfm2Config(**SIZES, layer_types=["conv", "full_attention", "conv"])
    assert "cache" in obstacle(AutoModelForCausalLM.from_config(hybrid))
    mamba = MambaConfig(vocab_size=60, hidden_size=8, state_size=4, num_hidden_layers=1)
    assert obstacle(AutoModelForCausalLM.from_config(mamba))
    model = build(MODELS["llama"]).eval()
    forgetful = model.model.layers[1].self_attn
    compute = forgetful.forward

    def forget(*args, **kwargs):
        if kwargs.get("cache") is not None and kwargs["cache"].get_seq_length(1) > 0:
            kwargs["hidden_states"] = kwargs["hidden_states"] * 0.9
        return compute(*args, **kwargs)

    forgetful.forward = forget
    assert not exact(model)
