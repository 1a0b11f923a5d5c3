"""Images of rows: TRL's model inputs of a batch, cut by rows, and the positions that images give.

A batch of images is what TRL hands its scoring beside the tokens: `pixel_values` flat over patches,
images, tiles or rows, what describes them, and fields of each token. TRL's own split knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

# Numbers that cut the batch, and fields of each token: the prompt's, which tell no pixels.
COUNTS = ("num_images", "num_tiles")
PER_TOKEN = ("token_type_ids", "mm_token_type_ids")


def present(images: Mapping[str, Any]) -> dict[str, Any]:
    """The batch without fields that are None; empty where there are no images."""
    return {key: value for key, value in images.items() if value is not None}


def pick(images: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """The batch of these rows, in their order; a row may come twice."""
    return unsplit_pixel_values_by_grid(
        {key: _chosen(value, rows) for key, value in split_pixel_values_by_grid(images).items()}
    )


def _chosen(value: Any, rows: Sequence[int]) -> Any:
    return [value[row] for row in rows] if isinstance(value, list) else value[list(rows)]


def pixels(images: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """What the vision tower gets for the prompts of these rows."""
    inputs = pick(images, rows) if images else {}
    return {key: value for key, value in inputs.items() if key not in COUNTS + PER_TOKEN}


def told_apart(
    shared: tuple[torch.Tensor, torch.Tensor], images: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`distinct` prompts (first (U,), place (B,)), of which those with other images are others."""
    fields = [
        value
        for key, value in split_pixel_values_by_grid(images).items()
        if key not in COUNTS + PER_TOKEN
    ]
    firsts: list[int] = []
    place = []
    tokens = shared[1].tolist()
    for row, prompt in enumerate(tokens):
        alike = (
            index
            for index, first in enumerate(firsts)
            if tokens[first] == prompt
            and all(torch.equal(field[first], field[row]) for field in fields)
        )
        place.append(next(alike, len(firsts)))
        if place[-1] == len(firsts):
            firsts.append(row)
    device = shared[0].device
    return torch.tensor(firsts, device=device), torch.tensor(place, device=device)


def positions(
    backbone: Any, ids: torch.Tensor, mask: torch.Tensor, images: Mapping[str, Any]
) -> torch.Tensor | None:
    """Positions (3, B, W) of models that give an image's tokens a time, a row and a column; else
    None: tokens are numbered."""
    needed = ("image_grid_thw", "mm_token_type_ids")
    if not hasattr(backbone, "get_rope_index") or any(key not in images for key in needed):
        return None
    found, _ = backbone.get_rope_index(
        ids, attention_mask=mask, **{key: images[key] for key in needed}
    )
    return found
