"""Random models of transformers' families, rows for them, and TRL's own scoring of these rows."""

from __future__ import annotations

from functools import cache

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from trl.trainer.utils import add_fused_lm_head

from spark_lab.training.shared_prompts.rows import Scores

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SLIDING = {
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
MODELS: dict[str, PreTrainedConfig] = {
    "qwen2": Qwen2Config(**SIZES),
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "mistral": MistralConfig(**SIZES, sliding_window=5),
    "gemma3": Gemma3TextConfig(**SIZES, **SLIDING, head_dim=8, final_logit_softcapping=20.0),
    "mixtral": MixtralConfig(**SIZES, num_local_experts=4),
    "gpt2": GPT2Config(
        vocab_size=60,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=64,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    ),
}
EXPERTS: dict[str, PreTrainedConfig] = {
    "mixtral": MODELS["mixtral"],
    "qwen3_moe": Qwen3MoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2),
    "gpt_oss": GptOssConfig(**SIZES, **SLIDING, num_local_experts=4, num_experts_per_tok=2),
}
TEMPERATURE = 0.7

# Prompts' lengths, completions' lengths, each row's prompt.
RAGGED = {
    "groups": ([7, 3], [5, 1, 3, 5, 2, 4], [0, 0, 0, 1, 1, 1]),
    "any order": ([7, 3, 9], [5, 1, 3, 5, 2, 4], [2, 0, 1, 0, 2, 0]),
    "one row each": ([7, 3], [4, 2], [0, 1]),
    "one-token prompts": ([1, 1, 6], [3, 2, 3, 1, 2], [0, 0, 1, 2, 2]),
    "empty completions": ([4, 6], [0, 3, 0, 0], [0, 0, 1, 1]),
}


@cache
def model_of(name: str, attention: str = "sdpa"):
    return build(MODELS.get(name) or EXPERTS[name], attention)


def build(config: PreTrainedConfig, attention: str = "sdpa"):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    # Random weights of the usual size make every token equally likely, which would hide mistakes.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(4)
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    return model


def batch_of(
    prompts: list[int],
    completions: list[int],
    which: list[int],
    *,
    width: int = 0,
    length: int = 0,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Rows of random tokens: `which` prompt each has, and its completion's number of tokens."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(count: int) -> torch.Tensor:
        return torch.randint(0, 60, (count,), generator=generator)

    width, length = max(width, *prompts), max(length, *completions, 1)
    texts = [tokens(size) for size in prompts]
    ids = torch.zeros(len(which), width + length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, size) in enumerate(zip(which, completions, strict=True)):
        begin = width - prompts[prompt]
        ids[row, begin:width], mask[row, begin : width + size] = texts[prompt], 1
        ids[row, width : width + size] = tokens(size)
    return ids, mask, length


def plain(model, ids, mask, length, *, aux_loss: bool = False) -> Scores:
    """What TRL 1.16's `_get_per_token_logps_and_entropies` calls."""
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-length] = -100
    router = {"output_router_logits": True} if aux_loss else {}
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, **router)
    return Scores(output.log_probs[:, -length:], output.entropy[:, -length:], output.aux_loss)


def objective(scores: Scores) -> torch.Tensor:
    """A sum that weighs every token's log-probability and entropy differently."""
    weights = torch.linspace(-1, 1, scores.log_probs.numel()).view_as(scores.log_probs)
    total = (weights * scores.log_probs + 0.1 * weights.flip(1) * scores.entropy).sum()
    return total if scores.aux_loss is None else total + scores.aux_loss


def gradient(model, scores: Scores) -> torch.Tensor:
    model.zero_grad()
    objective(scores).backward()
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


def check(model, ours: Scores, theirs: Scores) -> None:
    """Scores and their gradients are the same up to rounding."""
    for left, right in zip(ours, theirs, strict=True):
        if right is not None:
            assert left.shape == right.shape
            torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)
    expected, found = gradient(model, theirs), gradient(model, ours)
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-5 * expected.norm()
