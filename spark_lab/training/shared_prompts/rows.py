"""What both ways know about rows of prompts and completions."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Scores(NamedTuple):
    """What TRL's scoring gives: (B, C) each, 0 at padding; the load-balancing loss where asked for."""

    log_probs: torch.Tensor
    entropy: torch.Tensor | None = None
    aux_loss: torch.Tensor | None = None


def distinct(prompts: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which rows (B, P) hold a prompt for the first time (U,), and each row's place among them (B,).

    A row is its tokens and its padding: a padded row never equals one where the padding token is
    part of the prompt.
    """
    rows = len(prompts)
    _, place = torch.unique(prompts.masked_fill(mask == 0, -1), dim=0, return_inverse=True)
    first = torch.full((int(place.max()) + 1,), rows, device=prompts.device)
    first.scatter_reduce_(0, place, torch.arange(rows, device=prompts.device), "amin")
    return first, place


def work(positions: int, pairs: int, hidden: int) -> int:
    """Multiply-adds of a layer of width h, divided by 2 h, for what its attention computes densely.

    A layer multiplies about 12 h^2 times a position (projections and feed-forward) and 2 h times a
    (query, key) pair.
    """
    return 6 * hidden * positions + pairs
