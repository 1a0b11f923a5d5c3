"""Each prompt computed once: the same log-probabilities, entropies and gradients as TRL's own pass."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import EXPERTS, MODELS, RAGGED, batch_of, build, check, model_of, plain

from spark_lab.training import shared_prompts
from spark_lab.training.shared_prompts import cache, packed
from spark_lab.training.shared_prompts.rows import Scores

WAYS = ["cache", "packed"]


def shared(way: str, model, ids, mask, length, *, aux_loss: bool = False) -> Scores:
    if way == "cache":
        return cache.score(model, ids, mask, length)
    tree = packed.pack(ids, mask, length, model=model, whole=aux_loss)
    return packed.score(model, tree, aux_loss=aux_loss)


def compare(way: str, model, batch) -> None:
    check(model, shared(way, model, *batch), plain(model, *batch))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", RAGGED)
@pytest.mark.parametrize("name", MODELS)
def test_the_same_numbers_as_plain(name: str, rows: str, way: str):
    compare(way, model_of(name), batch_of(*RAGGED[rows]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["qwen2", "gemma3"])
def test_eager_attention_too(name: str, way: str):
    compare(way, model_of(name, "eager"), batch_of(*RAGGED["any order"]))


@pytest.mark.parametrize("rows", RAGGED)
@pytest.mark.parametrize("name", EXPERTS)
def test_the_load_balancing_loss_counts_every_row(name: str, rows: str):
    model, batch = model_of(name, "eager"), batch_of(*RAGGED[rows])
    theirs = plain(model, *batch, aux_loss=True)
    assert theirs.aux_loss > 0
    check(model, shared("packed", model, *batch, aux_loss=True), theirs)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", ["qwen2", "gemma3", "gpt2"])
def test_packed_under_activation_checkpointing(name: str, reentrant: bool):
    model, batch = build(MODELS[name]), batch_of(*RAGGED["any order"])
    expected = plain(model_of(name), *batch)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    found = shared("packed", model, *batch)
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=1e-5, atol=1e-5)
    check(model, found, plain(model, *batch))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("disabled", [False, True])
def test_lora(disabled: bool, way: str):
    adapters = LoraConfig(r=2, target_modules="all-linear")
    model = get_peft_model(build(MODELS["qwen2"]), adapters)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    batch = batch_of(*RAGGED["any order"])
    if not disabled:
        compare(way, model, batch)
        return
    adapted = plain(model, *batch).log_probs
    with torch.no_grad(), model.disable_adapter():
        reference, found = plain(model, *batch).log_probs, shared(way, model, *batch).log_probs
    torch.testing.assert_close(found, reference, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(adapted, reference, atol=1e-2)


@pytest.mark.parametrize("seed", range(42))
def test_any_shape(seed: int):
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, count: int = 1) -> list[int]:
        return torch.randint(low, high + 1, (count,), generator=generator).tolist()

    (count,), (rows,) = draw(1, 4), draw(1, 9)
    prompts, completions = draw(1, 12, count), draw(0, 8, rows)
    which = [index % count for index in draw(0, 99, rows)]
    width, length = 2 + draw(0, 12)[0], draw(1, 9)[0]
    batch = batch_of(prompts, completions, which, width=width, length=length, seed=seed)
    model = model_of(sorted(MODELS)[seed % len(MODELS)])
    if completions and max(completions) > 0:
        for way in WAYS:
            compare(way, model, batch)


def test_a_prompt_of_two_groups_is_computed_once():
    ids, mask, length = batch_of([5, 4], [2] * 6, [0, 1, 0, 1, 1, 0])
    first, place = shared_prompts.distinct(ids[:, :-length], mask[:, :-length])
    assert sorted(first.tolist()) == [0, 1]
    assert torch.equal(ids[first][place][:, :-length], ids[:, :-length])
    tree = packed.pack(ids, mask, length, model=model_of("qwen2"))
    assert tree.ids.shape == (2, 4 + 3 * 2)


def test_padding_is_not_a_token():
    ids = torch.tensor([[0, 5, 6], [0, 5, 6]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert len(shared_prompts.distinct(ids, mask)[0]) == 2


@pytest.mark.parametrize("way", WAYS)
def test_where_sharing_pays(way: str):
    def pays(*rows) -> bool:
        return shared_prompts.score(way, model_of("qwen2"), *batch_of(*rows)) is not None

    assert pays([9], [4, 4], [0, 0])
    assert not pays([9, 9], [4, 4], [0, 1])
    assert not pays([1], [12, 12], [0, 0])
    assert not pays([2], [40, 40], [0, 0])


def test_long_completions_start_another_packed_row():
    """Rows are as long as the cost of a repeated prompt allows, and evenly filled."""
    model = model_of("qwen2")
    batch = batch_of([5], [20, 20, 20, 20, 3, 3], [0] * 6)
    tree = packed.pack(*batch, model=model)
    space = packed.room(4, 32)
    assert 20 < space < 40
    assert len(tree.ids) == -(-86 // space) == 4
    assert (tree.branch == 0).sum() == 4 * 4 and (tree.branch > 0).sum() == 86
    assert tree.ids.shape[1] == 4 + 23
    compare("packed", model, batch)


def test_the_packed_mask_is_bounded():
    for hidden in (32, 1024, 8192):
        for prompt in (1, 100, 2000, 8000):
            assert 0 < packed.room(prompt, hidden) <= packed.LONGEST - prompt
    assert packed.room(200, 256) > 8 * 64, "a judge's group is one row"
    assert packed.room(packed.LONGEST + 5, 64) <= 0, "then each completion has a row"
    tree = packed.pack(*batch_of([4], [3, 2], [0, 0]), model=model_of("qwen2"))
    assert len(packed._deal({0: 3, 1: 2}, -5)) == 2 and len(tree.ids) == 1
