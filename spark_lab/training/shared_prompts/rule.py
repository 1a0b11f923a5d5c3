"""Which ways of sharing prompts a model allows, and why not where there is none.

`auto` allows all that are exact: the packed tree alone where only one forward through the wrapped
model will do (several processes, activation checkpointing, a mixture's load-balancing loss), else
the cache too. What a model's class promises is then held to trial batches (`trial`), and to the first
batch that has images (`training.scoring`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig

from spark_lab.models import sharing
from spark_lab.models.sharing import drops, language_model

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
    if drops(model):
        return "dropout: the rows of a group would share what is dropped"
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention={text._attn_implementation}: sdpa and eager are known to be exact"
    return sharing.obstacle(model)


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
