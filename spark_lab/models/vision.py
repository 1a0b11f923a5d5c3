"""Models that see images: their processor, of images and text alone, and which weights see."""

from __future__ import annotations

import re
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from spark_lab.models.towers import TOWER_MODULES

# A tokenizer, or what puts a tokenizer and an image processor together.
Processing = PreTrainedTokenizerBase | ProcessorMixin


def tokenizer_of(processing: Processing) -> PreTrainedTokenizerBase:
    return processing.tokenizer if isinstance(processing, ProcessorMixin) else processing


def processor_class(config: PreTrainedConfig) -> type[ProcessorMixin]:
    """The processor of a model, without its videos: no question has one, and they need torchvision.

    Its name is the original's, so that what it saves is read by any transformers.
    """
    kind = PROCESSOR_MAPPING[type(config)]
    if "video_processor" not in kind.get_attributes():
        return kind

    def begin(
        self: Any,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **settings: Any,
    ) -> None:
        # The original hands its parts on by place, and the video processor is the last of them.
        kind.__init__(self, image_processor, tokenizer, chat_template=chat_template, **settings)

    return type(kind.__name__, (kind,), {"__init__": begin, "__module__": kind.__module__})


def image_marks(processing: Processing) -> list[str]:
    """The texts that a processor takes for places of images, or of what it must not be given."""
    if not isinstance(processing, ProcessorMixin):
        return []
    holders = (processing, processing.tokenizer)
    names = ("image_token", "boi_token", "video_token", "audio_token")
    found = (getattr(holder, name, None) for holder in holders for name in names)
    return sorted({mark for mark in found if isinstance(mark, str)})


def image_tokens(model: Any) -> list[int]:
    """The tokens that stand for images, which a model must never write: there would be none."""
    config = model.config
    named = (getattr(config, name, None) for name in ("image_token_id", "image_token_index"))
    return sorted({token for token in named if isinstance(token, int)})


def freeze_vision(model: nn.Module) -> int:
    """Stop training what sees; what carries it over into the language model goes on. Returns the
    number of weights that are frozen."""
    frozen = 0
    for name, weight in model.named_parameters():
        if re.fullmatch(TOWER_MODULES, name) and weight.requires_grad:
            weight.requires_grad_(False)
            frozen += weight.numel()
    return frozen
