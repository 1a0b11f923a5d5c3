"""What a model must be for several rows to go on from one computation of their common prompt."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

# What a model raises that does not know what it is given. Anything else is a bug of ours.
REFUSALS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def language_model(model: Any) -> PreTrainedModel:
    """The causal model below DDP, FSDP and adapters; adapters are part of its layers."""
    bare = extract_model_from_parallel(model)
    return bare.get_base_model() if hasattr(bare, "get_base_model") else bare


def obstacle(model: Any) -> str | None:
    """Why rows can't share what a prompt leaves in the cache; None where they can."""
    inner = language_model(model)
    text = inner.config.get_text_config()
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "an adapter that adds its own prompt"
    if inner._is_stateful:
        return "a state-space model: its state can't be shared"
    # Exact types: what inherits from these also keeps a state that repeating would have to know.
    kinds = {type(layer) for layer in DynamicCache(config=text).layers}
    strange = kinds - {DynamicLayer, DynamicSlidingWindowLayer}
    if strange or getattr(text, "attention_chunk_size", None):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        return f"a cache other than of keys and values of each position ({names})"
    return None


def words(model: Any) -> torch.Tensor:
    """Tokens that mean nothing to the model: none stands for an image."""
    text = model.config.get_text_config()
    named = {**model.config.to_dict(), **text.to_dict()}
    special: set[int] = set()
    for key, value in named.items():
        if key.endswith(("_token_id", "_token_index")) and value is not None:
            special.update(value if isinstance(value, list) else [value])
    return torch.tensor([word for word in range(min(text.vocab_size, 99)) if word not in special])


def drops(model: nn.Module) -> bool:
    """Whether the model has dropout, which rows that share a prompt would share too."""
    for module in model.modules():
        # Attention without a dropout layer of its own hands its rate to the kernel.
        rate = module.p if isinstance(module, nn.Dropout) else _attention_rate(module)
        if rate > 0:
            return True
    return False


def _attention_rate(module: nn.Module) -> float:
    rate = getattr(module, "attention_dropout", 0.0)
    return rate if isinstance(rate, int | float) else 0.0
