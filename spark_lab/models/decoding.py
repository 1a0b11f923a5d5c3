"""Completions by plain sampling, each prompt and each of its images computed once.

`model.generate` computes a prompt again for each of its rows, copies the whole cache to append a
token, and goes on with rows that have ended. Here the distinct prompts go through the model once,
the cache is repeated for their rows and grows in place, and rows that have ended leave the batch.
The distribution is that of `generate` with the same temperature, top_k, top_p and suppress_tokens.

A row's draws are given from outside as uniform numbers: they don't depend on when other rows end.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers import (
    DynamicCache,
    LogitsProcessor,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from spark_lab.models import roomy_cache
from spark_lab.models.images import COUNTS, Inputs, join, positions, to_device
from spark_lab.models.sharing import REFUSALS, language_model, words
from spark_lab.models.sharing import obstacle as sharing_obstacle

NO_IMAGES: Sequence[Inputs | None] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """`top_k` 0 is off. The warpers are transformers' own, in the order of `generate`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def warpers(self) -> list[LogitsProcessor]:
        found: list[LogitsProcessor] = []
        if self.temperature != 1.0:
            found.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            found.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            found.append(TopPLogitsWarper(self.top_p))
        return found


@dataclass(frozen=True, slots=True)
class Prefill:
    """The distinct prompts of a batch after their pass. `place` (rows,): each row's prompt among
    them; `logits`: (prompts, vocabulary) of the first token, whose position is `position`
    (prompts,); `mask`: (prompts, longest prompt)."""

    place: torch.Tensor
    logits: torch.Tensor
    position: torch.Tensor
    mask: torch.Tensor
    cache: DynamicCache


def obstacle(model: Any) -> str | None:
    """Why `decode` can't run this model; None where it can."""
    inner = language_model(model)
    takes = inspect.signature(inner.forward).parameters
    if not {"attention_mask", "position_ids", _cache_name(type(inner))} <= set(takes):
        return "a model without attention_mask, position_ids and a cache of its own"
    return sharing_obstacle(model)


def exact(
    model: Any,
    prompts: Sequence[Sequence[int]] = (),
    images: Sequence[Inputs | None] = NO_IMAGES,
) -> bool:
    """Whether shared prompts give the logits of a pass without cache, up to rounding, on two rows
    of each of these prompts with the images that they have; without any, on two made up for it."""
    inner = language_model(model)
    ordinary = words(inner).tolist()

    def some(start: int, count: int) -> list[int]:
        return [ordinary[place % len(ordinary)] for place in range(start, start + count)]

    rows = [list(row) for row in (prompts or (some(0, 6), some(6, 4))) for _ in range(2)]
    held = [own for own in images for _ in range(2)]
    ends = [some(12 + 3 * row, 3) for row in range(len(rows))]
    with torch.no_grad():
        whole = [row + end for row, end in zip(rows, ends, strict=True)]
        ids, mask, batch = _batch(whole, ordinary[0], held or [None] * len(rows), inner.device, 3)
        width = ids.shape[1] - 3
        plain = inner(
            input_ids=ids,
            attention_mask=mask,
            position_ids=_places(inner, ids, mask, batch),
            **batch,
        ).logits[:, width - 1 : -1]
        try:
            begun = prefill(inner, rows, ordinary[0], held)
            cache, found = roomy_cache.repeat(begun.cache, begun.place), [begun.logits[begun.place]]
            position = begun.position[begun.place, None]
            for step, column in enumerate((width, width + 1)):
                new, seen = ids[:, [column]], mask[:, : column + 1]
                found.append(_forward(inner, new, seen, position + step, cache))
        except REFUSALS:
            return False
    loose = 1e-3 if plain.dtype == torch.float32 else 0.1
    return torch.allclose(torch.stack(found, 1), plain, rtol=loose, atol=loose)


def prefill(
    model: Any,
    prompts: Sequence[Sequence[int]],
    pad: int,
    images: Sequence[Inputs | None] = NO_IMAGES,
) -> Prefill:
    """One pass over the distinct ones of `prompts` (token ids, none empty), padded on the left.

    `images`: those of each prompt, or none at all; of equal prompts they are the same objects.
    """
    inner = language_model(model)
    held = images or [None] * len(prompts)
    keys = [(tuple(row), id(own)) for row, own in zip(prompts, held, strict=True)]
    distinct = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    shown = dict(zip(keys, held, strict=True))
    ids, mask, batch = _batch(
        [row for row, _ in distinct], pad, [shown[key] for key in distinct], inner.device
    )
    places = _places(inner, ids, mask, batch)
    cache = DynamicCache(config=inner.config)
    last_only = {"logits_to_keep": 1} if inner._supports_logits_to_keep() else {}
    logits = _forward(inner, ids, mask, places, cache, **batch, **last_only)
    place = torch.tensor([distinct[key] for key in keys], device=inner.device)
    following = places.amax(-1) if places.dim() == 2 else places.amax((0, -1))
    return Prefill(place, logits, following + 1, mask, cache)


def _batch(
    prompts: Sequence[Sequence[int]],
    pad: int,
    images: Sequence[Inputs | None],
    device: torch.device,
    beyond: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Token ids and mask (rows, longest row), padded on the left, and what the model gets of images.

    The last `beyond` tokens are not of the prompt to which a row's images belong.
    """
    lengths = [len(row) for row in prompts]
    width = max(lengths)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompts], device=device)
    sizes = torch.tensor(lengths, device=device)
    mask = (torch.arange(width, device=device) >= width - sizes[:, None]).long()
    of_prompts = [length - beyond for length in lengths]
    batch = to_device(join(images, of_prompts, width - beyond, beyond), device)
    return ids, mask, {key: value for key, value in batch.items() if key not in COUNTS}


def _places(
    inner: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, batch: Mapping[str, Any]
) -> torch.Tensor:
    """Positions (rows, width) of each token among its row's own ones, as `generate` counts them, 0
    for padding; or (3, rows, width) where images have rows and columns."""
    places = positions(inner.base_model, ids, mask, batch) if batch else None
    return (mask.cumsum(1) - 1).clamp_(min=0) if places is None else places


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Sequence[int],
    pad: int,
    images: Sequence[Inputs | None] = NO_IMAGES,
    suppress: Sequence[int] = (),
    sampling: Sampling | None = None,
    luck: torch.Tensor | None = None,
) -> list[list[int]]:
    """The completion of each prompt (token ids), up to and with the first of `ends` (>= 1 token).

    `images` as in `prefill`. Tokens of `suppress` are never chosen. Greedy without `sampling`; with
    it, row i's token number t is drawn by `luck[i, t]`, uniform on [0, 1), float64, of shape (rows,
    max_new_tokens). Call it where no gradients are wanted.
    """
    inner = language_model(model)
    begun = prefill(inner, prompts, pad, images)
    rows, device = len(prompts), begun.logits.device
    warpers = sampling.warpers() if sampling else []
    stops = torch.tensor(list(ends), device=device)
    tokens = torch.full((rows, max_new_tokens), pad, device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    luck = None if luck is None else luck.to(device)
    # The rows that go on, in the order in which they lie in the batch.
    going = torch.arange(rows, device=device)
    cache, logits = roomy_cache.repeat(begun.cache, begun.place), begun.logits[begun.place]
    mask = nn.functional.pad(begun.mask, (0, max_new_tokens), value=1)[begun.place]
    position = begun.position[begun.place]
    for step in range(max_new_tokens):
        if suppress:
            logits[:, list(suppress)] = -torch.inf
        new = _choose(logits, warpers, None if luck is None else luck[going, step])
        tokens[going, step] = new
        ended = torch.isin(new, stops)
        lengths[going[ended]] = step + 1
        stay = _closed_up(ended)
        if step + 1 == max_new_tokens or not len(stay):
            break
        if len(stay) < len(going):
            going, new, mask, position = going[stay], new[stay], mask[stay], position[stay]
            cache.batch_select_indices(stay)
        seen = mask[:, : begun.mask.shape[1] + step + 1]
        logits = _forward(inner, new[:, None], seen, (position + step)[:, None], cache)
    found = zip(tokens.tolist(), lengths.tolist(), strict=True)
    return [row[:length] for row, length in found]


def _closed_up(ended: torch.Tensor) -> torch.Tensor:
    """The rows that have not ended (indices), those from the back in the places of those that have:
    all others keep their place, so that little is copied."""
    count = len(ended) - int(ended.sum())
    stay = torch.arange(count, device=ended.device)
    stay[ended[:count]] = count + (~ended[count:]).nonzero().squeeze(1)
    return stay


def _choose(
    logits: torch.Tensor, warpers: Sequence[LogitsProcessor], luck: torch.Tensor | None
) -> torch.Tensor:
    """One token a row, by the inverse of the cumulative probability; the likeliest without luck.

    In float64: in float32 the tail of a large vocabulary would be lost in the sum's rounding.
    """
    if luck is None:
        return logits.argmax(-1)
    scores = logits.float()
    for warper in warpers:
        scores = warper(None, scores)
    summed = scores.softmax(-1).double().cumsum(-1)
    drawn = torch.searchsorted(summed, luck[:, None] * summed[:, -1:], right=True).squeeze(1)
    return drawn.clamp_(max=logits.shape[-1] - 1)


def _forward(
    inner: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    places: torch.Tensor,
    cache: DynamicCache,
    **more: Any,
) -> torch.Tensor:
    """Logits (rows, vocabulary) after the last column."""
    output = inner(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places,
        use_cache=True,
        **{_cache_name(type(inner)): cache},
        **more,
    )
    return output.logits[:, -1]


@lru_cache
def _cache_name(kind: type) -> str:
    """Transformers 5.24 renamed the argument."""
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"
