"""Each prompt once: score a group's completions on one forward of their common prompt.

TRL forwards prompt and completion together for every row, so a prompt of P tokens is computed G
times for its G completions of C tokens. Here it is computed once: (P + G C) positions instead of
G (P + C). Two ways do that, `cache` in two forwards and `packed` in one; `rule` says which a model allows,
and each batch takes the one that makes less work.

Every token keeps the position that it has in TRL's row, padding included, and sees what it sees
there: log-probabilities, entropies and gradients agree with TRL's up to rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from spark_lab.models.images import told_apart
from spark_lab.models.sharing import language_model
from spark_lab.training.shared_prompts import cache, packed
from spark_lab.training.shared_prompts.rows import Scores, distinct, work
from spark_lab.training.shared_prompts.rule import Choice, choose

__all__ = ["Choice", "Scores", "choose", "distinct", "score"]

# Sharing has a price of its own (a second pass, repeated caches, a dense mask): where it saves a
# smaller share of the work, rows are scored TRL's way.
WORTHWHILE = 0.1


def score(
    ways: Collection[str],
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    images: Mapping[str, Any] = MappingProxyType({}),
    *,
    aux_loss: bool = False,
    saving: float = WORTHWHILE,
) -> Scores | None:
    """Scores of the rows (ids, mask: (B, P + length)) in the way that makes the least work.

    None where that saves less than a share of `saving` of TRL's, or no way is left. Prompts are padded on the left, completions on the right. `ways`:
    those that are exact with `model`, which carries TRL's fused head and may be wrapped (adapters,
    DDP, FSDP). `images`: of the prompts, as TRL hands them over. `aux_loss`: with a mixture's
    load-balancing loss, packed only.
    """
    rows, columns = ids.shape
    width, hidden = columns - length, language_model(model).config.get_text_config().hidden_size
    if width < 2 or not ways:
        return None
    shared = distinct(ids[:, :width], mask[:, :width])
    if images:
        shared = told_apart(shared, images)
    scorers = {}
    if "cache" in ways:
        pairs, positions = cache.pairs_and_positions(ids, length, len(shared[0]))
        scorers[work(positions, pairs, hidden)] = partial(
            cache.score, model, ids, mask, length, shared, images
        )
    if "packed" in ways:
        tree = packed.pack(ids, mask, length, shared, hidden=hidden, whole=aux_loss)
        packs, longest = tree.ids.shape
        scorers[work(packs * longest, packs * longest**2, hidden)] = partial(
            packed.score, model, tree, ids, mask, images, aux_loss=aux_loss
        )
    least = min(scorers)
    plain = work(ids.numel(), rows * columns**2, hidden)
    return scorers[least]() if least <= (1 - saving) * plain else None
