"""A way of sharing is tried on the model itself before it is trusted: the same numbers as TRL's?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

# (ids, mask, completion length): rows to score.
Batch = tuple[torch.Tensor, torch.Tensor, int]
# What a model raises that does not know what it is given. Anything else is a bug of ours.
REFUSALS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def attempt(model: Any, shared: Callable[..., Any], plain: Callable[..., Any]) -> str | None:
    """What is wrong with `shared` on batches made for the model; None where it is as `plain`.

    Both score (ids, mask, completion length): log-probabilities, entropies and, of a mixture of
    experts, the load-balancing loss.
    """
    for batch in samples(model):
        expected = plain(*batch)
        try:
            found = shared(*batch)
        except REFUSALS as error:
            line = str(error).partition("\n")[0][:200]
            return f"this model refuses a trial batch ({type(error).__name__}: {line})"
        pairs = zip(found, expected, strict=True)
        if not all(agree(ours, theirs) for ours, theirs in pairs if theirs is not None):
            return "on a trial batch this model gives other numbers"
    return None


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two scorings of the same rows are the same up to their precision's rounding."""
    loose = 1e-3 if ours.dtype == torch.float32 else 0.1
    return torch.allclose(ours, theirs.to(ours.dtype), rtol=loose, atol=loose)


def samples(model: Any) -> list[Batch]:
    """Two padded prompts with two rows each; and a prompt that leaves the attention's windows."""
    text = model.config.get_text_config()
    batches = [_sample(2, 6, text.vocab_size)]
    windows = [getattr(layer, "sliding_window", 0) for layer in DynamicCache(config=text).layers]
    longest, context = max(windows, default=0), getattr(text, "max_position_embeddings", None)
    if longest and (context is None or longest + 8 <= context):
        batches.append(_sample(1, longest + 4, text.vocab_size))
    return [(ids.to(model.device), mask.to(model.device), length) for ids, mask, length in batches]


def _sample(prompts: int, width: int, vocabulary: int) -> Batch:
    rows = 2 * prompts
    texts = torch.arange(prompts * width).reshape(prompts, width).repeat_interleave(2, 0)
    completions = prompts * width + torch.arange(rows * 3).reshape(rows, 3)
    ids = torch.cat([texts, completions], dim=1) % vocabulary
    mask = torch.ones_like(ids)
    mask[:2, :2] = 0
    mask[1, -1] = 0
    return ids, mask, 3
