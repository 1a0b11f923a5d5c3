"""Completions by plain sampling, each prompt computed once.

`model.generate` computes a prompt again for each of its rows, copies the whole cache to append a
token, and goes on with rows that have ended. Here the distinct prompts go through the model once,
the cache is repeated for their rows and grows in place, and rows that have ended leave the batch.
The distribution is that of `generate` with the same temperature, top_k and top_p.

A row's draws are given from outside as uniform numbers: they don't depend on when other rows end.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
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
from transformers.cache_utils import DynamicLayer

from spark_lab.models.sharing import language_model
from spark_lab.models.sharing import obstacle as sharing_obstacle

# Tokens that a cache can take before it is copied to a larger one.
_ROOM = 64


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
    them; `logits`: (prompts, vocabulary) of the first token; `mask`: (prompts, longest prompt)."""

    place: torch.Tensor
    logits: torch.Tensor
    mask: torch.Tensor
    cache: DynamicCache


def obstacle(model: Any) -> str | None:
    """Why `decode` can't run this model; None where it can."""
    inner = language_model(model)
    if inner.config.get_text_config() is not inner.config:
        return "a model that takes images"
    takes = inspect.signature(inner.forward).parameters
    if not {"attention_mask", "position_ids", _cache_name(type(inner))} <= set(takes):
        return "a model without attention_mask, position_ids and a cache of its own"
    return sharing_obstacle(model)


def exact(model: Any) -> bool:
    """Whether shared prompts give the logits of a pass without cache on a trial batch, up to
    rounding: two prompts, one of them padded, of two rows each."""
    inner = language_model(model)
    ids = torch.arange(4 * 9, device=inner.device).reshape(4, 9) % inner.config.vocab_size
    ids[1::2, :6] = ids[::2, :6]
    mask = torch.ones_like(ids)
    mask[:2, :2] = 0
    positions = _positions(mask)
    with torch.no_grad():
        plain = inner(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, 5:-1]
        rows = [row[2 * (i < 2) : 6] for i, row in enumerate(ids.tolist())]
        begun = prefill(inner, rows, pad=0)
        cache, found = _repeat(begun.cache, begun.place), [begun.logits[begun.place]]
        for column in (6, 7):
            new, seen, position = ids[:, [column]], mask[:, : column + 1], positions[:, [column]]
            found.append(_forward(inner, new, seen, position, cache))
    loose = 1e-3 if plain.dtype == torch.float32 else 0.1
    return torch.allclose(torch.stack(found, 1), plain, rtol=loose, atol=loose)


def prefill(model: Any, prompts: Sequence[Sequence[int]], pad: int) -> Prefill:
    """One pass over the distinct ones of `prompts` (token ids, none empty), padded on the left."""
    inner = language_model(model)
    distinct = {key: index for index, key in enumerate(dict.fromkeys(map(tuple, prompts)))}
    width = max(map(len, distinct))
    device = inner.device
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in distinct], device=device)
    lengths = torch.tensor([len(row) for row in distinct], device=device)
    mask = (torch.arange(width, device=device) >= width - lengths[:, None]).long()
    cache = DynamicCache(config=inner.config)
    last_only = {"logits_to_keep": 1} if inner._supports_logits_to_keep() else {}
    logits = _forward(inner, ids, mask, _positions(mask), cache, **last_only)
    place = torch.tensor([distinct[tuple(row)] for row in prompts], device=device)
    return Prefill(place, logits, mask, cache)


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Sequence[int],
    pad: int,
    sampling: Sampling | None = None,
    luck: torch.Tensor | None = None,
) -> list[list[int]]:
    """The completion of each prompt (token ids), up to and with the first of `ends` (>= 1 token).

    Greedy without `sampling`; with it, row i's token number t is drawn by `luck[i, t]`, uniform on
    [0, 1), float64, of shape (rows, max_new_tokens). Call it where no gradients are wanted.
    """
    inner = language_model(model)
    begun = prefill(inner, prompts, pad)
    rows, device = len(prompts), begun.logits.device
    warpers = sampling.warpers() if sampling else []
    stops = torch.tensor(list(ends), device=device)
    tokens = torch.full((rows, max_new_tokens), pad, device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    luck = None if luck is None else luck.to(device)
    # The rows that go on, in the order in which they lie in the batch.
    going = torch.arange(rows, device=device)
    cache, logits = _repeat(begun.cache, begun.place), begun.logits[begun.place]
    mask = nn.functional.pad(begun.mask, (0, max_new_tokens), value=1)[begun.place]
    positions = begun.mask.sum(1)[begun.place]
    for step in range(max_new_tokens):
        new = _choose(logits, warpers, None if luck is None else luck[going, step])
        tokens[going, step] = new
        ended = torch.isin(new, stops)
        lengths[going[ended]] = step + 1
        stay = _closed_up(ended)
        if step + 1 == max_new_tokens or not len(stay):
            break
        if len(stay) < len(going):
            going, new, mask, positions = going[stay], new[stay], mask[stay], positions[stay]
            cache.batch_select_indices(stay)
        seen = mask[:, : begun.mask.shape[1] + step + 1]
        logits = _forward(inner, new[:, None], seen, (positions + step)[:, None], cache)
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


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Of each token among its row's own ones, as `generate` counts them; 0 for padding."""
    return (mask.cumsum(1) - 1).clamp_(min=0)


def _forward(
    inner: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    cache: DynamicCache,
    **settings: int,
) -> torch.Tensor:
    """Logits (rows, vocabulary) after the last column."""
    output = inner(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        **{_cache_name(type(inner)): cache},
        **settings,
    )
    return output.logits[:, -1]


@lru_cache
def _cache_name(kind: type) -> str:
    """Transformers 5.24 renamed the argument."""
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


class _Roomy(DynamicLayer):
    """Keys and values (rows, heads, length, width) with room behind them for further tokens."""

    def __init__(self, layer: DynamicLayer):
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = layer.keys, layer.values
        self._take_room()

    def _take_room(self) -> None:
        self._room_k, self._room_v = _with_room(self.keys), _with_room(self.values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        length = self.keys.shape[2]
        end = length + key_states.shape[2]
        if end > self._room_k.shape[2]:
            self._take_room()
        self._room_k[:, :, length:end] = key_states
        self._room_v[:, :, length:end] = value_states
        self.keys, self.values = self._room_k[:, :, :end], self._room_v[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Only for what `_closed_up` returns: in place, the rows that keep theirs aren't copied."""
        count, length = len(indices), self.keys.shape[2]
        moved = (indices >= count).nonzero().squeeze(1)
        for room in (self._room_k, self._room_v):
            room[moved, :, :length] = room[indices[moved], :, :length]
        self._room_k, self._room_v = self._room_k[:count], self._room_v[:count]
        self.keys, self.values = self._room_k[:, :, :length], self._room_v[:, :, :length]


def _with_room(states: torch.Tensor) -> torch.Tensor:
    rows, heads, length, width = states.shape
    room = states.new_empty(rows, heads, length + _ROOM, width)
    room[:, :, :length] = states
    return room


def _repeat(cache: DynamicCache, place: torch.Tensor) -> DynamicCache:
    """The prompts' cache for their rows, with room to grow: one layer after the other, for memory."""
    for index, layer in enumerate(cache.layers):
        layer.reorder_cache(place)
        # Layers that use another one's keys and values have none.
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[index] = _Roomy(layer)
    return cache
