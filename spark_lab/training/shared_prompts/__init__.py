"""Each prompt once: score a group's completions on one forward of their common prompt.

TRL forwards prompt and completion together for every row, so a prompt of P tokens is computed G
times for its G completions of C tokens. Here it is computed once: (P + G C) positions instead of
G (P + C). Two ways do that, `cache` in two forwards and `packed` in one; `rule` says which is taken.

Every token keeps the position that it has in TRL's row, padding included, and sees what it sees
there: log-probabilities, entropies and gradients agree with TRL's up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch

from spark_lab.training.shared_prompts import cache, packed
from spark_lab.training.shared_prompts.rows import Scores, distinct
from spark_lab.training.shared_prompts.rule import Choice, choose

__all__ = ["Choice", "Scores", "choose", "distinct", "score"]

# Sharing has a price of its own (a second pass, repeated caches, a dense mask): below this share of
# positions saved, rows are scored TRL's way.
WORTHWHILE = 0.1


def score(
    way: str,
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    *,
    aux_loss: bool = False,
) -> Scores | None:
    """Scores of the rows (ids, mask: (B, P + length)), or None where sharing saves too little.

    Prompts are padded on the left, completions on the right. `model` carries TRL's fused head, and
    may be wrapped (adapters, DDP, FSDP). `aux_loss`: with the mixture of experts' load-balancing
    loss, packed only.
    """
    if way == "cache":
        if not _pays(ids, cache.positions(ids, mask, length)):
            return None
        return cache.score(model, ids, mask, length)
    tree = packed.pack(ids, mask, length, model=model, whole=aux_loss)
    if not _pays(ids, tree.ids.numel()):
        return None
    return packed.score(model, tree, aux_loss=aux_loss)


def _pays(ids: torch.Tensor, computed: int) -> bool:
    return computed <= (1 - WORTHWHILE) * ids.numel()
