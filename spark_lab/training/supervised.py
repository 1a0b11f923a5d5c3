r"""Objectives trained by a supervised loss: groups whose completions are given, not sampled.

The completion of every row of such a group is its item's label, as ``\boxed{label}``, and its
advantage is 1 (times the objective's weight) instead of a group's normalised rewards, which are all
equal. The policy gradient at ratio 1, -A grad log p, is then the gradient of the cross-entropy of
the label, so TRL's loss serves as it is, with what belongs to it: tokens are weighed by `loss_type`,
the KL term (`beta`) applies, and where a window is passed over several times the ratio clip bounds
how far one window can pull. Nothing is sampled, so no token is generated.

The rows of a group are copies of one item. Where the loss is a plain sum over tokens, the copies in
a micro-batch are merged into one row with their summed advantage: the same gradient, computed once.
Not with several processes, whose metrics TRL gathers row by row: all must have equally many.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig

# Sums over tokens, divided by a number that merging leaves alone.
_SUMS = ("dapo", "cispo")


def target_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """What the model is to write: the text, and that it ends there."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def mergeable(args: GRPOConfig, *, aux_loss: bool, processes: int) -> bool:
    """Whether copies can be merged without changing the gradient."""
    return (
        processes == 1
        and args.loss_type in _SUMS
        and args.beta == 0
        and args.top_entropy_quantile == 1
        and not args.entropy_coef
        and not args.use_adaptive_entropy
        and not aux_loss
    )


def merge_copies(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the given rows of a group in a micro-batch keep the first, with all their advantages."""
    return [_merge(batch) if batch["given"].any() else batch for batch in batches]


def _merge(batch: dict[str, Any]) -> dict[str, Any]:
    rows, given = len(batch["group"]), batch["given"].bool()
    # Sampled rows are all different: numbers of their own, past those of the groups.
    alone = batch["group"].max() + 1 + torch.arange(rows, device=given.device)
    _, place, copies = torch.unique(
        torch.where(given, batch["group"], alone), return_inverse=True, return_counts=True
    )
    first = torch.full_like(copies, rows).scatter_reduce_(
        0, place, torch.arange(rows, device=given.device), "amin"
    )
    order = first.argsort()
    merged = {
        key: value[first[order]] if isinstance(value, torch.Tensor) and value.dim() > 0 else value
        for key, value in batch.items()
    }
    merged["advantages"] = merged["advantages"] * copies[order]
    return merged
