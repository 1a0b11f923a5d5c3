"""Shared cache: the distinct prompts go through the model once, then all completions on their cache.

The attention cache is repeated for the rows of each prompt and keeps the graph, so the gradient is
that of the plain pass. Rows keep TRL's columns. Two forwards a backward, so neither activation
checkpointing nor gradient synchronisation between processes goes with it.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from spark_lab.training.shared_prompts.rows import Scores, distinct, language_model


def positions(ids: torch.Tensor, mask: torch.Tensor, length: int) -> int:
    """How many positions `score` computes. Rows that can't be cut in two are computed whole."""
    rows, cut = len(ids), ids.shape[1] - length - 1
    if cut < 1:
        return ids.numel()
    prompts = len(distinct(ids[:, : cut + 1], mask[:, : cut + 1])[0])
    return prompts * cut + rows * length


def score(model: Any, ids: torch.Tensor, mask: torch.Tensor, length: int) -> Scores:
    """Scores of the rows (ids, mask: (B, P + length)); P >= 2.

    The prompt's last token goes with the completion: its logits give the first token, so that all
    tokens are scored by TRL's own head, at its temperature.
    """
    cut = ids.shape[1] - length - 1
    first, place = distinct(ids[:, : cut + 1], mask[:, : cut + 1])
    cache = DynamicCache(config=model.config)
    language_model(model).base_model(
        input_ids=ids[first, :cut],
        attention_mask=mask[first, :cut],
        past_key_values=cache,
        use_cache=True,
    )
    cache.reorder_cache(place)
    labels = ids[:, cut + 1 :].masked_fill(mask[:, cut + 1 :] == 0, -100)
    output = model(
        input_ids=ids[:, cut:-1],
        attention_mask=mask[:, :-1],
        past_key_values=cache,
        shift_labels=labels,
        fused_lm_head=True,
    )
    return Scores(output.log_probs, output.entropy)
