"""Images of rows: a model's inputs beside the tokens, joined and cut by rows, and their positions.

A batch of images is what TRL hands its scoring: `pixel_values` flat over patches, images, tiles or
rows, what describes them, and fields of each token. TRL's own split knows which. A row's `Inputs`
are the batch of that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

# Numbers that cut the batch, and fields of each token: the prompt's, which tell no pixels.
COUNTS = ("num_images", "num_tiles")
PER_TOKEN = ("token_type_ids", "mm_token_type_ids")


Inputs = Mapping[str, Any]


def inputs_of(made: Mapping[str, Any], images: int) -> dict[str, Any]:
    """What a processor made of one prompt with `images` images, as the batch of that row."""
    inputs = {
        key: value for key, value in made.items() if key not in ("input_ids", "attention_mask")
    }
    values = inputs["pixel_values"]
    if _by_row(inputs):  # all images of a row are one entry
        return inputs | {"num_images": 1}
    tiled = values.dim() == 4 and len(values) != images and "image_grid_thw" not in inputs
    tiles = {"num_tiles": len(values)} if tiled or "spatial_shapes" in inputs else {}
    return inputs | {"num_images": images} | tiles


def _by_row(inputs: Inputs) -> bool:
    return "pixel_attention_mask" in inputs and "spatial_shapes" not in inputs


def join(
    rows: Sequence[Inputs | None], widths: Sequence[int], width: int, beyond: int = 0
) -> dict[str, Any]:
    """The batch of rows, of which some may have no images; empty where none has any.

    `widths`: their prompts' tokens, padded on the left to `width`; `beyond`: how many columns follow.
    """
    some = next((row for row in rows if row), None)
    if some is None:
        return {}
    batch: dict[str, Any] = {}
    for key, value in some.items():
        if key in COUNTS:
            absent = int(_by_row(some) and key == "num_images")
            batch[key] = [row[key] if row else absent for row in rows]
        elif key in PER_TOKEN:
            kinds = [
                row[key] if row else value.new_zeros(1, size)
                for row, size in zip(rows, widths, strict=True)
            ]
            types = torch.cat([_padded(one, (1, width), left=True) for one in kinds])
            batch[key] = nn.functional.pad(types, (0, beyond))
        else:
            none = torch.zeros_like(value) if _by_row(some) else value[:0]
            batch[key] = _stacked([row[key] if row else none for row in rows])
    return batch


def _stacked(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """One after the other, each padded with zeros to the largest, as processors pad a batch."""
    sizes = [max(value.shape[axis] for value in values) for axis in range(1, values[0].dim())]
    return torch.cat([_padded(value, (len(value), *sizes)) for value in values])


def _padded(value: torch.Tensor, shape: Sequence[int], *, left: bool = False) -> torch.Tensor:
    missing = [wanted - size for wanted, size in zip(shape, value.shape, strict=True)]
    if not any(missing):
        return value
    pads = [(gap, 0) if left else (0, gap) for gap in reversed(missing)]
    return nn.functional.pad(value, [pad for pair in pads for pad in pair])


def to_device(images: Inputs, device: torch.device) -> dict[str, Any]:
    return {
        key: value.to(device) if isinstance(value, torch.Tensor) else value
        for key, value in images.items()
    }


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
    if not hasattr(backbone, "get_rope_index"):
        return None
    needed = ("image_grid_thw", "mm_token_type_ids")
    if any(key not in images for key in needed):
        # Told, since such a model would go on from the positions of the last images that it saw.
        return torch.arange(ids.shape[1], device=ids.device).expand(3, *ids.shape)
    found, _ = backbone.get_rope_index(
        ids, attention_mask=mask, **{key: images[key] for key in needed}
    )
    return found
