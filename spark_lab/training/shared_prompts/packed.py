"""Packed tree: one row holds a prompt and all its completions, each of which sees the prompt and itself.

    prompt without its last token | last token, completion 1 | last token, completion 2 | ...

One forward through the model as it is wrapped, so activation checkpointing, DDP and FSDP work as
ever. The prompt's last token stands in front of each completion: its logits give the completion's
first token, so that all tokens are scored by TRL's own head. Padding is left out, positions are
those of TRL's rows. The mask is dense, (U, 1, L, L) for U packed rows of L tokens; `room` bounds L.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from spark_lab.training.shared_prompts.rows import Scores, distinct, language_model

# Tokens of the longest packed row, unless one completion alone is longer: a mask of 64 MiB.
LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Tree:
    """Rows packed by prompt: (U, L) each, `where` and `scored` (B, C) lead back.

    ids: tokens, 0 at padding. column: the token's column in its own row of TRL's. branch: 0 the
    prompt, 1.. its completions, -1 padding. weight: how many of TRL's rows hold the token, 0 where
    it is masked. labels: the next token, -100 where none is scored. where: the place of a scored
    token's logits in the flat (U L); scored: whether the token counts.
    """

    ids: torch.Tensor
    column: torch.Tensor
    branch: torch.Tensor
    weight: torch.Tensor
    labels: torch.Tensor
    where: torch.Tensor
    scored: torch.Tensor


def room(prompt: int, hidden: int) -> int:
    """Tokens of completions that a packed row of a `prompt` holds; further ones start another row.

    A layer multiplies about 12 h^2 times a position and 2 h times a pair of positions, so S tokens
    of completions in m rows cost (m P + S) (1 + (P + S / m) / (6 h)): least where each row has
    S / m = sqrt(6 h P + P^2). Beyond, completions that ignore each other cost more than the prompt.
    """
    return min(math.isqrt(6 * hidden * prompt + prompt**2), LONGEST - prompt)


def pack(
    ids: torch.Tensor, mask: torch.Tensor, length: int, *, model: Any, whole: bool = False
) -> Tree:
    """Pack rows (ids, mask: (B, P + length)) by prompt.

    whole: keep each completion's last token, after which nothing is scored, and rows without a
    completion: they count in a load-balancing loss.
    """
    hidden = model.config.get_text_config().hidden_size
    width = ids.shape[1] - length
    first, place = distinct(ids[:, :width], mask[:, :width])
    # Layout is arithmetic on small numbers, done where it needs no synchronisation for each.
    shown, first, place = mask.cpu() != 0, first.tolist(), place.tolist()
    ends = (shown[:, width:] * torch.arange(1, length + 1)).amax(1)
    sizes = (ends + whole).tolist()
    rows: list[tuple[int, list[int]]] = []
    for index, row in enumerate(first):
        members = [member for member, prompt in enumerate(place) if prompt == index]
        space = room(int(shown[row, : width - 1].sum()), hidden)
        rows += [
            (row, bin_) for bin_ in _deal({member: sizes[member] for member in members}, space)
        ]
    return _lay_out(ids, shown, rows, sizes, width)


def _deal(sizes: dict[int, int], space: int) -> list[list[int]]:
    """Rows of one prompt in as few packed rows as `space` asks for, evenly: the longest first."""
    count = min(len(sizes), max(1, -(-sum(sizes.values()) // max(1, space))))
    bins: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for row in sorted(sizes, key=lambda row: (-sizes[row], row)):
        least = totals.index(min(totals))
        bins[least].append(row)
        totals[least] += sizes[row]
    return [sorted(bin_) for bin_ in bins]


def _lay_out(
    ids: torch.Tensor,
    shown: torch.Tensor,
    rows: list[tuple[int, list[int]]],
    sizes: list[int],
    width: int,
) -> Tree:
    count, columns = ids.shape
    length = columns - width
    pieces, where = [], torch.zeros(count, length, dtype=torch.long)
    for first, members in rows:
        prompt = shown[first, : width - 1].nonzero().flatten()
        owner, column, branch = [torch.full_like(prompt, first)], [prompt], [0 * prompt]
        begin = len(prompt)
        for number, row in enumerate(members, 1):
            span = torch.arange(sizes[row])
            where[row, : sizes[row]] = (begin + span)[:length]
            owner.append(torch.full_like(span, row))
            column.append(width - 1 + span)
            branch.append(torch.full_like(span, number))
            begin += sizes[row]
        pieces.append([torch.cat(parts) for parts in (owner, column, branch)])
    owner, column, branch = (
        nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=padding)
        for parts, padding in zip(zip(*pieces, strict=True), (0, 0, -1), strict=True)
    )
    for index, (_, members) in enumerate(rows):
        where[members] += index * column.shape[1]
    held = torch.tensor([len(members) for _, members in rows])[:, None]
    weight = torch.where(branch == 0, held, 1) * shown[owner, column] * (branch >= 0)
    following = (column + 1).clamp(max=columns - 1)
    labelled = (branch > 0) & (column + 1 < columns) & shown[owner, following]
    home = ids.device
    owner, column, branch, weight, labelled, following, where = (
        part.to(home) for part in (owner, column, branch, weight, labelled, following, where)
    )
    return Tree(
        ids=ids[owner, column].masked_fill(branch < 0, 0),
        column=column,
        branch=branch,
        weight=weight,
        labels=ids[owner, following].masked_fill(~labelled, -100),
        where=where,
        scored=shown[:, width:].to(home),
    )


def score(model: Any, tree: Tree, *, aux_loss: bool = False) -> Scores:
    """Scores of the packed rows, in TRL's rows and columns. One forward of `model`.

    TRL's head weighs router logits by the 2-D mask that it is given: each position's number of
    rows, so that the load-balancing loss is that of the plain pass. The layers get the tree.
    """
    causal = language_model(model)
    with _seen(causal.base_model, _masks(causal, tree)):
        output = model(
            input_ids=tree.ids,
            attention_mask=tree.weight,
            position_ids=tree.column,
            shift_labels=tree.labels,
            fused_lm_head=True,
            **({"output_router_logits": True} if aux_loss else {}),
        )

    def back(values: torch.Tensor | None) -> torch.Tensor | None:
        if values is None:
            return None
        return values.flatten()[tree.where].masked_fill(~tree.scored, 0)

    return Scores(back(output.log_probs), back(output.entropy), output.aux_loss)


@contextmanager
def _seen(backbone: nn.Module, masks: Any) -> Iterator[None]:
    """The layers below `backbone` see `masks`, whatever 2-D mask the head above it is given."""
    hook = backbone.register_forward_pre_hook(
        lambda _module, args, kwargs: (args, kwargs | {"attention_mask": masks}), with_kwargs=True
    )
    try:
        yield
    finally:
        hook.remove()


def _masks(model: Any, tree: Tree) -> Any:
    """The tree as the model's layers want it: one mask, or one for each kind of layer."""
    text = model.config.get_text_config()
    windows = {
        layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
        for layer in DynamicCache(config=text).layers
    }
    additive = model.dtype if text._attn_implementation == "eager" else None
    if len(windows) == 1:
        return _mask(tree, windows.pop(), additive)
    return {
        "full_attention": _mask(tree, None, additive),
        "sliding_attention": _mask(tree, max(filter(None, windows)), additive),
    }


def _mask(tree: Tree, window: int | None, additive: torch.dtype | None) -> torch.Tensor:
    """Who sees whom (U, 1, L, L): booleans, or 0 and the dtype's lowest number."""
    query, key = tree.column[:, :, None], tree.column[:, None, :]
    seen = (tree.branch[:, :, None] == tree.branch[:, None, :]) | (tree.branch[:, None, :] == 0)
    seen &= (key <= query) & (tree.weight[:, None, :] > 0)
    if window is not None:
        seen &= query - key < window
    # A padded query that saw nothing at all would be undefined.
    seen |= torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device)
    seen = seen[:, None]
    if additive is None:
        return seen
    return torch.zeros(seen.shape, dtype=additive, device=seen.device).masked_fill(
        ~seen, torch.finfo(additive).min
    )
