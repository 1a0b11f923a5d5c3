"""A cache of keys and values that grows in place: appending a token does not copy it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

# Tokens that a cache can take before it is copied to a larger one.
ROOM = 64


class Roomy(DynamicLayer):
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
        """Only for rows that close up: in place, those that keep their place aren't copied."""
        count, length = len(indices), self.keys.shape[2]
        moved = (indices >= count).nonzero().squeeze(1)
        for room in (self._room_k, self._room_v):
            room[moved, :, :length] = room[indices[moved], :, :length]
        self._room_k, self._room_v = self._room_k[:count], self._room_v[:count]
        self.keys, self.values = self._room_k[:, :, :length], self._room_v[:, :, :length]


def _with_room(states: torch.Tensor) -> torch.Tensor:
    rows, heads, length, width = states.shape
    room = states.new_empty(rows, heads, length + ROOM, width)
    room[:, :, :length] = states
    return room


def repeat(cache: DynamicCache, place: torch.Tensor) -> DynamicCache:
    """The prompts' cache for their rows, with room to grow: one layer after the other, for memory."""
    for index, layer in enumerate(cache.layers):
        layer.reorder_cache(place)
        # Layers that use another one's keys and values have none.
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[index] = Roomy(layer)
    return cache
