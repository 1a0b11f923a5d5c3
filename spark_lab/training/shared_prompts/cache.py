"""Shared cache: the distinct prompts go through the model once, then all completions on their cache.

The attention cache is repeated for the rows of each prompt and keeps the graph, so the gradient is
that of the plain pass. Rows keep TRL's columns. Two forwards a backward, so neither activation
checkpointing nor gradient synchronisation between processes goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import DynamicCache

from spark_lab.models.images import pixels, positions
from spark_lab.models.sharing import language_model
from spark_lab.training.shared_prompts.rows import Scores


def pairs_and_positions(ids: torch.Tensor, length: int, prompts: int) -> tuple[int, int]:
    """(query, key) pairs and positions that `score` computes for rows (B, P + length)."""
    rows, cut = len(ids), ids.shape[1] - length - 1
    pairs = prompts * cut**2 + rows * length * (cut + length)
    return pairs, prompts * cut + rows * length


def score(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    shared: tuple[torch.Tensor, torch.Tensor],
    images: Mapping[str, Any],
) -> Scores:
    """Scores of the rows (ids, mask: (B, P + length)), P >= 2; `shared`: their `distinct` prompts.

    The prompt's last token goes with the completion: its logits give the first token, so that all
    tokens are scored by TRL's own head, at its temperature. Images go with the prompts.
    """
    cut = ids.shape[1] - length - 1
    first, place = shared
    cache = DynamicCache(config=model.config)
    backbone = language_model(model).base_model
    places = positions(backbone, ids, mask, images)
    before, after = {}, {}
    if places is not None:
        before = {"position_ids": places[:, first, :cut]}
        after = {"position_ids": places[:, :, cut:-1]}
    if "token_type_ids" in images:  # image tokens see each other both ways, all in the prompt
        before["token_type_ids"] = images["token_type_ids"][first, :cut]
    backbone(
        input_ids=ids[first, :cut],
        attention_mask=mask[first, :cut],
        past_key_values=cache,
        use_cache=True,
        **before,
        **pixels(images, first.tolist()),
    )
    cache.reorder_cache(place)
    labels = ids[:, cut + 1 :].masked_fill(mask[:, cut + 1 :] == 0, -100)
    output = model(
        input_ids=ids[:, cut:-1],
        attention_mask=mask[:, :-1],
        past_key_values=cache,
        shift_labels=labels,
        fused_lm_head=True,
        **after,
    )
    return Scores(output.log_probs, output.entropy)
