"""A way of sharing is tried on the model itself before it is trusted: the same numbers as TRL's?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import DynamicCache

from spark_lab.models.sharing import REFUSALS, words

# (ids, mask, completion length): rows to score.
Batch = tuple[torch.Tensor, torch.Tensor, int]


def attempt(
    batches: Iterable[Batch],
    shared: Callable[..., Any],
    plain: Callable[..., Any],
    *,
    dtype: torch.dtype,
) -> str | None:
    """What is wrong with `shared` on these batches; None where it is as `plain`, up to `dtype`'s
    rounding.

    Both score (ids, mask, completion length): log-probabilities, entropies and, of a mixture of
    experts, the load-balancing loss.
    """
    for batch in batches:
        expected = plain(*batch)
        try:
            found = shared(*batch)
        except REFUSALS as error:
            line = str(error).partition("\n")[0][:200]
            return f"this model refuses a trial batch ({type(error).__name__}: {line})"
        pairs = zip(found, expected, strict=True)
        if not all(agree(*pair, dtype) for pair in pairs if pair[1] is not None):
            return "on a trial batch this model gives other numbers"
    return None


def agree(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two scorings of the same rows are the same for a model that computes in `dtype`."""
    loose = 1e-4 if dtype == torch.float32 else 0.1
    return torch.allclose(ours, theirs.to(ours.dtype), rtol=loose, atol=loose)


def samples(model: Any) -> list[Batch]:
    """Two padded prompts with two rows each; and a prompt that leaves the attention's windows."""
    text = model.config.get_text_config()
    shapes = [(2, 6)]
    windows = [getattr(layer, "sliding_window", 0) for layer in DynamicCache(config=text).layers]
    longest, context = max(windows, default=0), getattr(text, "max_position_embeddings", None)
    if longest and (context is None or longest + 8 <= context):
        shapes.append((1, longest + 4))
    ordinary = words(model).to(model.device)
    return [_sample(*shape, ordinary) for shape in shapes]


def _sample(prompts: int, width: int, ordinary: torch.Tensor) -> Batch:
    rows = 2 * prompts
    texts = torch.arange(prompts * width).reshape(prompts, width).repeat_interleave(2, 0)
    completions = prompts * width + torch.arange(rows * 3).reshape(rows, 3)
    ids = ordinary[torch.cat([texts, completions], dim=1).to(ordinary.device) % len(ordinary)]
    mask = torch.ones_like(ids)
    mask[:2, :2] = 0
    mask[1, -1] = 0
    return ids, mask, 3
