"""How a window's rows are dealt out to micro-batches, after TRL's shuffle.

Rows of like length together: in a mixed window, padding is otherwise a third of the work. Rows of
one group together: their prompt is then computed once (`training.shared_prompts`).
"""

from __future__ import annotations

from typing import Any

import torch


def sort_by_length(batches: list[dict[str, Any]], per_update: int) -> list[dict[str, Any]]:
    """Re-split a window so that each micro-batch holds rows of like length, and trim its padding.

    Rows move only between the `per_update` micro-batches of one optimizer step, whose gradients
    are summed anyway; each step still sees the same rows. Groups that `keep_groups` brought
    together stay so: they are sorted by their longest row.
    """
    chunks = [batches[i : i + per_update] for i in range(0, len(batches), per_update)]
    return [batch for chunk in chunks for batch in _sort_chunk(chunk)]


def keep_groups(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Re-split a shuffled window so that the rows of a group (`batch["group"]`) follow each other.

    Groups come in the order in which the shuffle brought up their first rows: as random as a
    shuffle of the groups, without drawing further random numbers. A group is cut only where the
    micro-batches' sizes cut it.
    """
    merged = _merged(batches)
    _, group = torch.unique(merged["group"], return_inverse=True)
    rows = len(group)
    first = torch.full_like(group, rows)
    first.scatter_reduce_(0, group, torch.arange(rows, device=group.device), "amin")
    order = torch.argsort(first[group], stable=True)
    sizes = [len(batch["completion_ids"]) for batch in batches]
    return [_rows(merged, index, rows) for index in torch.split(order, sizes)]


def _sort_chunk(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sizes = [len(batch["completion_ids"]) for batch in batches]
    merged = _merged(batches)
    lengths = merged["prompt_mask"].sum(1) + merged["completion_mask"].sum(1)
    if "group" in merged:
        _, group = torch.unique(merged["group"], return_inverse=True)
        longest = torch.zeros_like(lengths).scatter_reduce_(0, group, lengths, "amax")
        lengths = longest[group]
    order = torch.argsort(lengths, stable=True)
    rows = len(order)
    return [trim(_rows(merged, index, rows)) for index in torch.split(order, sizes)]


def _merged(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch of all rows."""
    return {key: _merge([batch[key] for batch in batches]) for key in batches[0]}


def _merge(values: list[Any]) -> Any:
    first = values[0]
    return torch.cat(values) if isinstance(first, torch.Tensor) and first.dim() > 0 else first


def _rows(batch: dict[str, Any], index: torch.Tensor, rows: int) -> dict[str, Any]:
    chosen = {}
    for key, value in batch.items():
        if isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == rows:
            chosen[key] = value[index]
        else:
            chosen[key] = value
    return chosen


def trim(batch: dict[str, Any]) -> dict[str, Any]:
    """Cut the columns that are padding in every row: prompts on the left, completions on the right."""
    prompt_width, width = batch["prompt_mask"].shape[1], batch["completion_mask"].shape[1]
    prompt_length = max(1, int(batch["prompt_mask"].sum(1).max()))
    length = max(1, int(batch["completion_mask"].sum(1).max()))
    trimmed = dict(batch)
    for key, value in batch.items():
        if not isinstance(value, torch.Tensor) or value.dim() != 2:
            continue
        if key.startswith("prompt_"):
            trimmed[key] = value[:, prompt_width - prompt_length :]
        elif value.shape[1] == width:
            trimmed[key] = value[:, :length]
    return trimmed
