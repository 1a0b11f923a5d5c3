"""About how many tokens of a prompt are images."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from spark_lab.models.load import resolve_path
from spark_lab.records import Picture, Question
from spark_lab.schema import Config

# Opened for their sizes; and the most pixels of an image where the configuration sets no limit: the
# authors' own.
_OPENED = 8
_MOST_PIXELS = 1_048_576
# Side in pixels of what Qwen2.5-VL makes one token of: patches of 14, merged 2 x 2.
_SIDE = 28


def image_tokens(config: Config, questions: Sequence[Question]) -> float:
    """The mean over the first questions with images; 0 where there are none. Raises UserError where an
    image can't be opened."""
    pictured = [question.images for question in questions if question.images][:_OPENED]
    if not pictured:
        return 0.0
    most, side = config.model.max_pixels or _MOST_PIXELS, _side(config.model.path)
    return statistics.fmean(
        sum(min(_pixels(picture), most) for picture in images) / side**2 for images in pictured
    )


def _pixels(picture: Picture) -> int:
    width, height = picture.load().size
    return width * height


def _side(path: str) -> int:
    """Of a model in a folder as its configuration says, where it is of Qwen's kind."""
    file = Path(resolve_path(path)) / "config.json"
    if not file.is_file():
        return _SIDE
    vision = json.loads(file.read_text(encoding="utf-8")).get("vision_config", {})
    if "spatial_merge_size" not in vision or "patch_size" not in vision:
        return _SIDE
    return vision["patch_size"] * vision["spatial_merge_size"]
