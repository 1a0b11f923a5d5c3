"""Each prompt once: score a group's completions on one forward of their common prompt.

TRL forwards prompt and completion together for every row, so a prompt of P tokens is computed G
times for its G completions of C tokens. Here the distinct prompts go through the model once, the
attention cache is repeated for their rows, and only the completions follow: (P + G C) positions
instead of G (P + C). The cache keeps the graph, so the gradient is that of the plain pass.

Rows keep the columns that TRL gave them, padding included, so that every token has the position
it has there: log-probabilities and gradients agree up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from trl import GRPOConfig

# Sharing has a price of its own (a second pass, repeated caches): below this share of positions
# saved, rows are scored TRL's way.
WORTHWHILE = 0.1


def obstacle(model: Any, args: GRPOConfig, *, processes: int, aux_loss: bool) -> str | None:
    """Why prompts can't be shared with this model and these arguments; None where they can.

    `model`: a causal language model, with adapters or not, not yet wrapped. `aux_loss`: a
    mixture of experts whose load-balancing loss is wanted; it counts every row's prompt.
    """
    text = model.config.get_text_config()
    if processes > 1 or args.n_gpu > 1:
        return "several processes or GPUs: two forwards in one backward would break gradient sync"
    if args.gradient_checkpointing:
        return "activation checkpointing recomputes layers, which can't fill a cache"
    if args.use_liger_kernel:
        return "Liger kernels"
    if aux_loss or getattr(text, "output_router_logits", False):
        return "the load-balancing loss of a mixture of experts counts every row's prompt"
    if text is not model.config:
        return "a model that takes images"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "an adapter that adds its own prompt"
    if _dropout(model):
        return "dropout: the rows of a group would share what is dropped"
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention={text._attn_implementation}: sdpa and eager are known to be exact"
    return _cache_obstacle(_causal(model))


def _dropout(model: nn.Module) -> bool:
    for module in model.modules():
        # Attention without a dropout layer of its own hands its rate to the kernel.
        rate = module.p if isinstance(module, nn.Dropout) else _attention_rate(module)
        if rate > 0:
            return True
    return False


def _attention_rate(module: nn.Module) -> float:
    rate = getattr(module, "attention_dropout", 0.0)
    return rate if isinstance(rate, int | float) else 0.0


def _causal(model: Any) -> PreTrainedModel:
    """The language model below wrappers and adapters, whose layers the adapters are part of."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _cache_obstacle(model: PreTrainedModel) -> str | None:
    text = model.config.get_text_config()
    if model._is_stateful:
        return "a state-space model: its state can't be shared"
    # Exact types: what inherits from these also keeps a state that repeating would have to know.
    kinds = {type(layer) for layer in DynamicCache(config=text).layers}
    strange = kinds - {DynamicLayer, DynamicSlidingWindowLayer}
    if strange or getattr(text, "attention_chunk_size", None):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        return f"a cache other than of keys and values of each position ({names})"
    return None


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


def worthwhile(ids: torch.Tensor, mask: torch.Tensor, length: int) -> bool:
    """Whether sharing saves enough positions of these rows (ids, mask: (B, P + length))."""
    rows, width = len(ids), ids.shape[1] - length
    if width < 2 or rows < 2:
        return False
    prompts = len(distinct(ids[:, :width], mask[:, :width])[0])
    computed = prompts * (width - 1) + rows * length
    return prompts < rows and 1 - computed / (rows * (width + length)) >= WORTHWHILE


def score(model: Any, ids: torch.Tensor, mask: torch.Tensor, length: int) -> Any:
    """TRL's fused output (`log_probs`, `entropy`: (B, length), 0 at padding) with shared prompts.

    ids, mask: (B, P + length), prompts padded on the left, completions on the right; P >= 2. The
    prompt's last token goes with the completion: its logits give the first token, so that all
    tokens are scored by TRL's own head, at its temperature.
    """
    cut = ids.shape[1] - length - 1
    first, place = distinct(ids[:, : cut + 1], mask[:, : cut + 1])
    backbone = _causal(model).base_model
    cache = DynamicCache(config=model.config)
    backbone(
        input_ids=ids[first, :cut],
        attention_mask=mask[first, :cut],
        past_key_values=cache,
        use_cache=True,
    )
    cache.reorder_cache(place)
    labels = ids[:, cut + 1 :].masked_fill(mask[:, cut + 1 :] == 0, -100)
    return model(
        input_ids=ids[:, cut:-1],
        attention_mask=mask[:, :-1],
        past_key_values=cache,
        shift_labels=labels,
        fused_lm_head=True,
    )


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two scorings of the same rows are the same up to their precision's rounding."""
    loose = 1e-3 if ours.dtype == torch.float32 else 0.1
    return torch.allclose(ours, theirs.to(ours.dtype), rtol=loose, atol=loose)


def sample(vocabulary: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int]:
    """A batch (ids, mask, completion length) to try a model on: two padded prompts, two rows each."""
    prompts = torch.arange(12).reshape(2, 6).repeat_interleave(2, 0)
    ids = torch.cat([prompts, torch.arange(12, 24).reshape(4, 3)], dim=1) % vocabulary
    mask = torch.ones_like(ids)
    mask[:2, :2] = 0
    mask[1, -1] = 0
    return ids.to(device), mask.to(device), 3
