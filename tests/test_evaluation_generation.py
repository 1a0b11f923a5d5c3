"""Completions of a tiny random model, and the probability of its verdicts."""

from __future__ import annotations

import copy
import logging
import warnings

import pytest
import torch
from tiny_tokenizers import WORDS, word_tokenizer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from spark_lab.evaluation.generation import Completion, Generator
from spark_lab.models.chat import Chat
from spark_lab.models.encoding import Encoder
from spark_lab.records import Prompt

TEXTS = ["1+2", "9", "7+7+7+7", "3+4", "1+2"]


def qwen2(**changes) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    sizes = dict(vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2)
    heads = dict(num_attention_heads=2, num_key_value_heads=1, initializer_range=0.3)
    config = Qwen2Config(**(sizes | heads | {"max_position_embeddings": 64} | changes))
    return Qwen2ForCausalLM(config)


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    sizes = dict(vocab_size=len(WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=64)
    return GPT2LMHeadModel(
        GPT2Config(**sizes, initializer_range=0.3, bos_token_id=None, eos_token_id=1)
    )


class OfTexts(Generator):
    """Is asked texts without images."""

    def complete(self, prompts, **how):
        return super().complete(list(map(Prompt, prompts)), **how)

    def verdict_probabilities(self, prompts, *rest):
        return super().verdict_probabilities(list(map(Prompt, prompts)), *rest)


def generator(model, tokenizer=None, chat=None, **changes) -> OfTexts:
    tokenizer = tokenizer or word_tokenizer()
    settings = dict(max_new_tokens=12, batch_size=3) | changes
    return OfTexts(model, tokenizer, Encoder(tokenizer, chat), **settings)


@torch.no_grad()
def greedy_one_by_one(model, ids: list[int], steps: int) -> list[int]:
    model.eval()
    found: list[int] = []
    while len(found) < steps and 1 not in found:
        found.append(model(input_ids=torch.tensor([ids + found])).logits[0, -1].argmax().item())
    return found


@pytest.mark.parametrize("model", [qwen2(), gpt2()], ids=["rotary", "absolute"])
def test_greedy_batches_equal_an_unpadded_loop(model):
    tokenizer = word_tokenizer()
    completions = generator(model, tokenizer).complete(TEXTS)
    for text, (completion,) in zip(TEXTS, completions, strict=True):
        ids = greedy_one_by_one(model, tokenizer(f"{text}#")["input_ids"], 12)
        assert list(completion.ids) == ids
        assert completion.tokens == len(ids)
        assert completion.truncated == (ids[-1] != tokenizer.eos_token_id)
        assert completion.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_the_system_prompt_precedes_every_prompt():
    tokenizer = word_tokenizer()
    model = qwen2()
    with_system = generator(model, tokenizer, chat=Chat("5+5")).complete(["1+2"])
    assert with_system == generator(model, tokenizer).complete(["5+51+2"])


def test_equal_greedy_prompts_run_once():
    model = qwen2()
    run, rows = generator(model, max_new_tokens=1), []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    twice = run.complete(["1+2"] * 3, samples=2)
    assert rows == [1]
    assert [len(completions) for completions in twice] == [2, 2, 2]
    assert len({completion.ids for completions in twice for completion in completions}) == 1


def test_samples_depend_on_the_seed_alone():
    model = qwen2()
    draws = [
        generator(model).complete(TEXTS, samples=4, temperature=1.0, seed=seed)
        for seed in (3, 3, 4)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert all(len(completions) == 4 for completions in draws[0])
    # Equal prompts are sampled independently.
    assert draws[0][0] != draws[0][4]


def test_what_a_batch_draws_does_not_depend_on_the_batches_before_it():
    run = generator(qwen2())
    later = ["1+2", "9+1", "3+3"]
    lengths = []
    for seed in range(20):
        first, other = (
            run.complete([*earlier, *later], temperature=4.0, seed=seed)
            for earlier in (["7+7+7+7", "1+1+1+1", "2+2+2+2"], ["4+5+6+7", "3+0+0+0", "8+8+2+1"])
        )
        assert first[:3] != other[:3] and first[3:] == other[3:]
        lengths.append([max(reply.tokens for (reply,) in part[:3]) for part in (first, other)])
    assert any(one != another for one, another in lengths)


def test_samples_do_not_depend_on_how_many_are_drawn_at_once():
    model = qwen2()
    draws = [
        generator(model, batch_size=size).complete(TEXTS, samples=3, temperature=1.0, seed=2)
        for size in (1, 7, 100)
    ]
    assert draws[0] == draws[1] == draws[2]


def test_what_decode_cannot_run_is_generated_by_transformers():
    torch.manual_seed(0)
    sizes = dict(vocab_size=len(WORDS), hidden_size=16, intermediate_size=32)
    layers = dict(num_hidden_layers=2, layer_types=["conv", "full_attention"])
    heads = dict(num_attention_heads=2, num_key_value_heads=1, initializer_range=0.3)
    model = Lfm2ForCausalLM(Lfm2Config(**sizes, **layers, **heads, eos_token_id=1))
    tokenizer, text = word_tokenizer(), "7+7+7+7"
    run = generator(model, tokenizer)
    assert not run._decodes
    ((completion,),) = run.complete([text])
    assert list(completion.ids) == greedy_one_by_one(model, tokenizer(f"{text}#")["input_ids"], 12)
    draws = [run.complete(TEXTS, samples=4, temperature=2.0, seed=seed) for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]
    (p,) = run.verdict_probabilities(["1+2"], [verdict("Yes")], ("Yes", "No"))
    assert 0 < p < 1


def test_samples_belong_to_their_prompt():
    model = qwen2()
    greedy = generator(model).complete(TEXTS)
    cold = generator(model).complete(TEXTS, samples=3, temperature=1e-4)
    assert cold == [completions * 3 for completions in greedy]
    assert len({completion.ids for (completion,) in greedy}) > 2


def test_truncated_means_no_end_token_and_what_follows_the_end_is_cut():
    model = qwen2()
    sampled = generator(model, batch_size=8).complete(TEXTS * 4, samples=8, temperature=2.0)
    flat = [completion for completions in sampled for completion in completions]
    assert {completion.truncated for completion in flat} == {True, False}
    for completion in flat:
        assert completion.truncated == (1 not in completion.ids)
        assert 1 not in completion.ids[:-1]
        assert completion.tokens == len(completion.ids) <= 12
        assert completion.tokens == 12 or not completion.truncated


def test_sampling_follows_the_model_whatever_its_own_generation_config_says():
    model = qwen2()
    model.generation_config.top_k = 1
    model.generation_config.top_p = 0.1
    model.generation_config.min_p = 0.9
    model.generation_config.repetition_penalty = 9.0
    tokenizer = word_tokenizer()
    (drawn,) = generator(model, tokenizer, max_new_tokens=1, batch_size=8000).complete(
        ["1+2"], samples=8000, temperature=1.7, seed=5
    )
    with torch.no_grad():
        logits = model(input_ids=tokenizer("1+2#", return_tensors="pt")["input_ids"]).logits
    expected = (logits[0, -1] / 1.7).softmax(-1) * 8000
    counts = torch.bincount(
        torch.tensor([completion.ids[0] for completion in drawn]), minlength=len(WORDS)
    )
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 60  # 22 degrees of freedom: p < 2e-5 beyond


def test_every_end_token_of_the_model_ends_a_completion():
    model = qwen2()
    model.generation_config.eos_token_id = [1, 5]
    sampled = generator(model).complete(TEXTS, samples=8, temperature=2.0)
    ends = {c.ids[-1] for completions in sampled for c in completions if not c.truncated}
    assert ends == {1, 5}


def test_a_prompt_without_room_is_an_empty_truncated_completion():
    model = qwen2()
    fits, too_long = "1" * 51, "1" * 52  # and the generation prompt: 64 - 12 = 52 tokens
    completions = generator(model).complete([too_long, fits])
    assert completions[0] == [Completion("", 0, True)]
    assert completions[1][0].tokens > 0
    assert generator(model).complete([]) == []


def train(model, evaluated: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Weights and random state after three steps with dropout, evaluating in between or not."""
    model = copy.deepcopy(model).train()
    model.activation_checkpointing_enable()
    model.model.layers[0].mlp.eval()
    torch.manual_seed(7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = word_tokenizer()("1+2#3", return_tensors="pt")["input_ids"]
    for _ in range(3):
        if evaluated:
            run = generator(model)
            (completions, *_) = run.complete(TEXTS, samples=2, temperature=1.0)
            run.verdict_probabilities(["1+2"], [verdict("Yes")], ("Yes", "No"))
            assert all(len(completion.ids) for completion in completions)
            assert model.training and model.is_activation_checkpointing
            assert not model.model.layers[0].mlp.training
            assert model.model.layers[1].mlp.training
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return [parameter.detach() for parameter in model.parameters()], torch.get_rng_state()


def test_evaluating_leaves_the_training_bit_identical():
    model = qwen2(attention_dropout=0.3)
    plain, evaluated = train(model, False), train(model, True)
    assert torch.equal(plain[1], evaluated[1])
    assert all(map(torch.equal, plain[0], evaluated[0]))
    assert not torch.equal(plain[0][0], next(model.parameters()))


def test_a_failing_model_gets_its_mode_and_random_state_back():
    model = qwen2().train()

    def fail(*_):
        raise RuntimeError("out of memory")

    model.lm_head.register_forward_hook(fail)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="out of memory"):
        generator(model).complete(["1+2"], temperature=1.0)
    assert model.training and torch.equal(before, torch.get_rng_state())


def test_no_warnings_from_a_chat_models_generation_config(caplog):
    model = qwen2()
    own = model.generation_config
    own.do_sample, own.temperature, own.top_k, own.top_p = True, 0.7, 20, 0.8
    own.repetition_penalty, own.max_length, own.use_cache = 1.05, 32, False
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        logging.getLogger("transformers").propagate = True
        run = generator(model)
        run.complete(TEXTS)
        run.complete(TEXTS, samples=2, temperature=0.5)
        run.verdict_probabilities(["1+2"], [verdict("No")], ("Yes", "No"))
    assert caplog.messages == []
    assert model.generation_config is own and own.top_k == 20


def test_a_lora_model_generates_with_its_adapter_and_keeps_its_config():
    from peft import LoraConfig, get_peft_model

    plain = generator(qwen2()).complete(TEXTS)
    base = qwen2()
    own = base.generation_config
    lora = LoraConfig(
        r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(base, lora)
    assert generator(adapted).complete(TEXTS) != plain
    with adapted.disable_adapter():
        assert generator(adapted).complete(TEXTS) == plain
    assert base.generation_config is own


def verdict(label: str, tokenizer=None) -> Completion:
    tokenizer = tokenizer or word_tokenizer()
    text = f"1+1 \\boxed{{{label}}}"
    ids = (*tokenizer(text, add_special_tokens=False)["input_ids"], 1)
    return Completion(text, len(ids), False, ids)


@pytest.mark.parametrize("model", [qwen2(), gpt2()], ids=["rotary", "absolute"])
def test_verdict_probabilities_equal_a_plain_forward_pass(model):
    tokenizer = word_tokenizer()
    silent = Completion("1+1", 3, False, tuple(tokenizer("1+1")["input_ids"]))
    completions = [verdict("Yes"), silent, verdict("No"), verdict("No"), verdict("No")]
    got = generator(model, tokenizer).verdict_probabilities(TEXTS, completions, ("Yes", "No"))
    swapped = generator(model, tokenizer).verdict_probabilities(TEXTS, completions, ("No", "Yes"))
    assert got[1] is None
    assert got[0] == pytest.approx(got[4])  # the same prefix before different verdicts
    model.eval()
    for text, p, other in zip(TEXTS, got, swapped, strict=True):
        if p is None:
            continue
        ids = tokenizer(f"{text}#1+1 \\boxed{{", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
        yes, no = (logits[tokenizer.convert_tokens_to_ids(label)] for label in ("Yes", "No"))
        assert p == pytest.approx((yes - no).sigmoid().item(), abs=1e-5)
        assert p + other == pytest.approx(1.0, abs=1e-5)
