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


def packing(model, ids, mask, length, *, whole: bool = False) -> packed.Tree:
    prompts = shared_prompts.distinct(ids[:, :-length], mask[:, :-length])
    return packed.pack(ids, mask, length, prompts, hidden=model.config.hidden_size, whole=whole)


def shared(way: str, model, ids, mask, length, *, aux_loss: bool = False) -> Scores:
    if way == "packed":
        tree = packing(model, ids, mask, length, whole=aux_loss)
        return packed.score(model, tree, ids, mask, {}, aux_loss=aux_loss)
    prompts = shared_prompts.distinct(ids[:, :-length], mask[:, :-length])
    return cache.score(model, ids, mask, length, prompts, {})


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
    tree = packing(model_of("qwen2"), ids, mask, length)
    assert tree.ids.shape == (2, 4 + 3 * 2)


def test_padding_is_not_a_token():
    ids = torch.tensor([[0, 5, 6], [0, 5, 6]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert len(shared_prompts.distinct(ids, mask)[0]) == 2


def scored(ways: list[str], *rows) -> bool:
    return shared_prompts.score(ways, model_of("qwen2"), *batch_of(*rows)) is not None


@pytest.mark.parametrize("way", WAYS)
def test_where_sharing_pays(way: str):
    assert scored([way], [9], [4, 4], [0, 0])
    assert not scored([way], [9, 9], [4, 4], [0, 1])
    assert not scored([way], [1], [12, 12], [0, 0])
    assert not scored([way], [2], [40, 40], [0, 0])


def test_the_way_with_less_work_is_taken(monkeypatch: pytest.MonkeyPatch):
    """Packed rows leave padding out; the cache spares completions each other's keys."""
    taken = []
    for name, module in {"cache": cache, "packed": packed}.items():
        compute = module.score

        def note(*args, _name=name, _compute=compute, **options):
            taken.append(_name)
            return _compute(*args, **options)

        monkeypatch.setattr(module, "score", note)
    assert scored(WAYS, [20], [30, 2, 2, 2], [0] * 4)
    assert scored(WAYS, [30], [30, 30, 30, 30], [0] * 4)
    assert taken == ["packed", "cache"]


def test_long_completions_start_another_packed_row():
    """A prompt is repeated where that costs less than completions that ignore each other."""
    model = model_of("qwen2")
    batch = batch_of([5], [40, 40, 40, 40, 3, 3], [0] * 6)
    tree = packing(model, *batch)
    assert tree.ids.shape == (4, 4 + 43), "evenly filled"
    assert (tree.branch == 0).sum() == 4 * 4 and (tree.branch > 0).sum() == 166
    compare("packed", model, batch)
    assert len(packing(model, *batch_of([60], [9, 9, 9, 9], [0] * 4)).ids) == 1


def test_prompts_share_a_number_of_packed_rows():
    """A prompt that would rather have fewer, longer rows would lengthen all the others'."""
    sizes = torch.randint(4, 25, (48,), generator=torch.Generator().manual_seed(0)).tolist()
    batch = batch_of([16] * 6, sizes, [row // 8 for row in range(48)])
    tree = packing(model_of("qwen2"), *batch)
    assert len(tree.ids) % 6 == 0
    assert tree.ids.numel() < 0.75 * batch[0].numel()


def test_a_packed_row_is_bounded(monkeypatch: pytest.MonkeyPatch):
    model, batch = model_of("qwen2"), batch_of([60], [9, 9, 9, 9], [0] * 4)
    monkeypatch.setattr(packed, "LONGEST", 59 + 20)
    assert packing(model, *batch).ids.shape == (2, 59 + 18)
    monkeypatch.setattr(packed, "LONGEST", 5)
    assert packing(model, *batch).ids.shape == (4, 59 + 9), "no row is shorter than its prompt"
