"""Packed tree: one row holds a prompt and all its completions, each of which sees the prompt and itself.

    prompt without its last token | last token, completion 1 | last token, completion 2 | ...

One forward through the model as it is wrapped, so activation checkpointing, DDP and FSDP work as
ever. The prompt's last token stands in front of each completion: its logits give the completion's
first token, so that all tokens are scored by TRL's own head. Padding is left out, positions are
those of TRL's rows. The mask is dense, (U, 1, L, L) for U packed rows of L tokens: where completions
are long, `_deal` lets a prompt have several rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from spark_lab.models.images import pixels, positions
from spark_lab.models.sharing import language_model
from spark_lab.training.shared_prompts.rows import Scores, work

# Tokens of the longest packed row, unless one completion alone is longer: a mask of 64 MiB.
LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Tree:
    """Rows packed by prompt: (U, L) each, `where` and `scored` (B, C) lead back.

    ids: tokens, 0 at padding. owner, column: the row of TRL's that a token is from (of a prompt's
    rows the first), and its column there. branch: 0 the prompt, 1.. its completions, -1 padding. weight: how many of TRL's rows hold the token, 0 where
    it is masked. labels: the next token, -100 where none is scored. where: the place of a scored
    token's logits in the flat (U L); scored: whether the token counts.
    """

    ids: torch.Tensor
    owner: torch.Tensor
    column: torch.Tensor
    branch: torch.Tensor
    weight: torch.Tensor
    labels: torch.Tensor
    where: torch.Tensor
    scored: torch.Tensor


def pack(
    ids: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    shared: tuple[torch.Tensor, torch.Tensor],
    *,
    hidden: int,
    whole: bool = False,
) -> Tree:
    """Pack rows (ids, mask: (B, P + length)) by prompt; `shared`: their `distinct` prompts.

    hidden: the model's width. whole: keep each completion's last token, after which nothing is
    scored, and rows without a completion: they count in a load-balancing loss.
    """
    width = ids.shape[1] - length
    # Layout is arithmetic on small numbers, done where it needs no synchronisation for each.
    shown, (first, place) = mask.cpu() != 0, (index.tolist() for index in shared)
    ends = (shown[:, width:] * torch.arange(1, length + 1)).amax(1)
    sizes = (ends + whole).tolist()
    members: list[dict[int, int]] = [{} for _ in first]
    for row, prompt in enumerate(place):
        members[prompt][row] = sizes[row]
    prompts = shown[first, : width - 1].sum(1).tolist()
    rows = [
        (row, held)
        for row, deal in zip(first, _deal(members, prompts, hidden), strict=True)
        for held in deal
    ]
    return _lay_out(ids, shown, rows, sizes, width)


def _deal(sizes: list[dict[int, int]], prompts: list[int], hidden: int) -> list[list[list[int]]]:
    """Each prompt's completions ({row: tokens}) in the packed rows that make the least work.

    Fewer rows repeat a prompt (tokens) less, more rows have fewer pairs of completions that ignore
    each other. All prompts get as many rows, if they have as many completions, since all rows are
    padded to the longest. No row is longer than LONGEST if another deal avoids it.
    """

    def cost(deals: list[list[list[int]]]) -> tuple[int, int]:
        longest = max(
            prompt + sum(mine[row] for row in held)
            for prompt, mine, deal in zip(prompts, sizes, deals, strict=True)
            for held in deal
        )
        computed = longest * sum(map(len, deals))
        return max(0, longest - LONGEST), work(computed, computed * longest, hidden)

    counts = range(1, max(map(len, sizes)) + 1)
    return min(([_spread(mine, count) for mine in sizes] for count in counts), key=cost)


def _spread(sizes: dict[int, int], count: int) -> list[list[int]]:
    """Rows in up to `count` parts of like size: the longest first, each to the emptiest part."""
    count = min(count, len(sizes))
    parts: list[list[int]] = [[] for _ in range(count)]
    totals = [(0, part) for part in range(count)]
    for row in sorted(sizes, key=lambda row: (-sizes[row], row)):
        total, least = totals[0]
        parts[least].append(row)
        heapq.heapreplace(totals, (total + sizes[row], least))
    return [sorted(part) for part in parts]


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
        owner=owner,
        column=column,
        branch=branch,
        weight=weight,
        labels=ids[owner, following].masked_fill(~labelled, -100),
        where=where,
        scored=shown[:, width:].to(home),
    )


def score(
    model: Any,
    tree: Tree,
    ids: torch.Tensor,
    mask: torch.Tensor,
    images: Mapping[str, Any],
    *,
    aux_loss: bool = False,
) -> Scores:
    """Scores of the packed rows, in TRL's rows and columns (ids, mask). One forward of `model`.

    TRL's head weighs router logits by the 2-D mask that it is given: each position's number of
    rows, so that the load-balancing loss is that of the plain pass. The layers get the tree.
    Images go with each packed row's prompt.
    """
    causal = language_model(model)
    backbone = causal.base_model
    places = positions(backbone, ids, mask, images)
    with _seen(backbone, _masks(causal, tree)):
        output = model(
            input_ids=tree.ids,
            attention_mask=tree.weight,
            position_ids=tree.column if places is None else places[:, tree.owner, tree.column],
            shift_labels=tree.labels,
            fused_lm_head=True,
            **({"output_router_logits": True} if aux_loss else {}),
            **pixels(images, tree.owner[:, 0].tolist()),
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
