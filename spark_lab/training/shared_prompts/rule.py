"""Which ways of sharing prompts a model allows, and why not where there is none.

`auto` allows all that are exact: the packed tree alone where only one forward through the wrapped
model will do (several processes, activation checkpointing, a mixture's load-balancing loss), else
the cache too. What a model's class promises is then held to a trial batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from trl import GRPOConfig

from spark_lab.training.shared_prompts.rows import language_model

WAYS = ("cache", "packed")


@dataclass(frozen=True, slots=True)
class Choice:
    """`ways` that are exact, none for TRL's path alone; `reason`: what is against the others."""

    ways: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if not self.ways:
            return f"TRL: {self.reason}"
        return f"shared prompts: {' or '.join(self.ways)}"


def choose(
    wanted: str,
    model: Any,
    args: GRPOConfig,
    *,
    processes: int,
    aux_loss: bool,
    trial: Callable[[str], str | None],
) -> Choice:
    """The ways for `wanted` (auto, cache, packed).

    `model`: a causal language model, with adapters or not, not yet wrapped. `aux_loss`: whether the
    load-balancing loss of a mixture of experts is wanted. `trial(way)` tries a way on the model and
    says what was wrong.
    """
    reason = obstacle(model, args)
    if reason is not None:
        return Choice(reason=reason)
    ways, reasons = [], []
    for way in WAYS if wanted == "auto" else (wanted,):
        if way == "cache":
            reason = cache_obstacle(model, args, processes=processes, aux_loss=aux_loss)
        else:
            reason = packed_obstacle(model)
        reason = reason or trial(way)
        if reason is None:
            ways.append(way)
        elif reason not in reasons:
            reasons.append(reason)
    return Choice(tuple(ways), "; ".join(reasons))


def obstacle(model: Any, args: GRPOConfig) -> str | None:
    """Why prompts can't be shared in either way; None where they can."""
    text = model.config.get_text_config()
    if args.n_gpu > 1:
        return "several GPUs in one process"
    if args.use_liger_kernel:
        return "Liger kernels"
    if text is not model.config:
        return "a model that takes images"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "an adapter that adds its own prompt"
    if _dropout(model):
        return "dropout: the rows of a group would share what is dropped"
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention={text._attn_implementation}: sdpa and eager are known to be exact"
    if language_model(model)._is_stateful:
        return "a state-space model: its state can't be shared"
    # Exact types: what inherits from these also keeps a state that sharing would have to know.
    kinds = {type(layer) for layer in DynamicCache(config=text).layers}
    strange = kinds - {DynamicLayer, DynamicSlidingWindowLayer}
    if strange or getattr(text, "attention_chunk_size", None):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        return f"a cache other than of keys and values of each position ({names})"
    return None


def cache_obstacle(model: Any, args: GRPOConfig, *, processes: int, aux_loss: bool) -> str | None:
    """Why a prompt can't be shared by its cache."""
    if processes > 1:
        return "several processes: two forwards in one backward would break gradient sync"
    if args.gradient_checkpointing:
        return "activation checkpointing recomputes layers, which can't fill a cache"
    if aux_loss or getattr(model.config.get_text_config(), "output_router_logits", False):
        return "the load-balancing loss of a mixture of experts needs all positions at once"
    return None


def packed_obstacle(model: Any) -> str | None:
    """Why rows can't be packed into a tree."""
    backbone = language_model(model).base_model
    if "position_ids" not in inspect.signature(backbone.forward).parameters:
        return "a model that can't be told its tokens' positions"
    return None


def _dropout(model: nn.Module) -> bool:
    for module in model.modules():
        # Attention without a dropout layer of its own hands its rate to the kernel.
        rate = module.p if isinstance(module, nn.Dropout) else _attention_rate(module)
        if rate > 0:
            return True
    return False


def _attention_rate(module: nn.Module) -> float:
    rate = getattr(module, "attention_dropout", 0.0)
    return rate if isinstance(rate, int | float) else 0.0
