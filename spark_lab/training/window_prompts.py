"""The prompts of the open window: encoded once for each group, their images joined to rows when due.

TRL would encode a prompt once for each of its group's rows, and hold every image as often, shuffle and
split them with the rows, and write them into a checkpoint. Here it sees windows of text alone; a
row's group says which images belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object

from spark_lab.models.encoding import Encoded, Encoder
from spark_lab.models.images import join, pick, to_device
from spark_lab.records import Prompt


class WindowPrompts:
    """`open` it with the prompts of this rank's groups; then every row of these can be looked up."""

    def __init__(self, encoder: Encoder):
        self._encoder = encoder
        self._encoded: dict[int, Encoded] = {}

    def open(self, prompts: Mapping[int, Prompt]) -> None:
        """Encode the prompts of groups, by their number. Raises UserError for a broken image."""
        encoded = self._encoder(list(prompts.values()))
        self._encoded = dict(zip(prompts, encoded, strict=True))

    @property
    def shown(self) -> bool:
        """Whether any of these prompts has images."""
        return any(one.images is not None for one in self._encoded.values())

    @property
    def encoded(self) -> list[Encoded]:
        """Each group's prompt."""
        return list(self._encoded.values())

    def rows(self, groups: Sequence[int]) -> list[Encoded]:
        return [self._encoded[group] for group in groups]

    def batch(
        self, groups: Sequence[int], width: int, beyond: int, device: torch.device
    ) -> dict[str, Any]:
        """What TRL's scoring takes of images for rows of these groups, whose prompts are padded to
        `width` and whose completions to `beyond` tokens. Empty where none has any."""
        distinct = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        encoded = self.rows(list(distinct))
        lengths = [len(one.ids) for one in encoded]
        joined = join([one.images for one in encoded], lengths, width, beyond)
        if not joined:
            return {}
        return pick(to_device(joined, device), [distinct[group] for group in groups])

    def share_lengths(self, prompts: Sequence[Prompt]) -> None:
        """Let all ranks know how many tokens the images of each group of the window take."""
        own = [
            (group, self._encoder.taken(prompts[group].images))
            for group, one in self._encoded.items()
            if one.images is not None
        ]
        for group, tokens in gather_object(own):
            self._encoder.learn(prompts[group].images, tokens)
