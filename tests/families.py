# ruff: noqa: RUF001
"""Tiny random models of true families, saved as a user has them: class, tokens, chat template, ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

_CHATML_OF_SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_HEADER = ("<|start_header_id|>", "<|end_header_id|>")
_TURNS = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")


@dataclass(frozen=True)
class Family:
    """`ends`: what its generation config stops at. `template` names one of those that TRL ships, or
    is one. `words`: tokens that are ordinary text."""

    config: type[PreTrainedConfig]
    template: str
    special: tuple[str, ...]
    eos: str
    pad: str | None
    bos: str | None = None
    ends: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "qwen2_5": Family(Qwen2Config, "qwen2_5", _IM, "<|im_end|>", "<|endoftext|>", ends=_IM[::2]),
    "llama3": Family(
        LlamaConfig,
        "llama3_2",
        ("<|begin_of_text|>", "<|end_of_text|>", *_HEADER, "<|eot_id|>"),
        "<|eot_id|>",
        None,
        "<|begin_of_text|>",
        ("<|end_of_text|>", "<|eot_id|>"),
    ),
    "gemma": Family(GemmaConfig, "gemma", _TURNS, "<eos>", "<pad>", "<bos>"),
    "gemma3": Family(
        Gemma3TextConfig,
        "gemma3",
        _TURNS,
        "<eos>",
        "<pad>",
        "<bos>",
        ("<eos>", "<end_of_turn>"),
        more={"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "smollm2": Family(LlamaConfig, _CHATML_OF_SMOLLM2, _IM, "<|im_end|>", "<|im_end|>"),
    "qwen3": Family(
        Qwen3Config,
        "qwen3",
        _IM,
        "<|im_end|>",
        "<|endoftext|>",
        ends=_IM[::2],
        words=("<think>", "</think>"),
    ),
    "deepseek_r1": Family(
        Qwen2Config,
        "deepseek_r1_distill",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        "<｜end▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜begin▁of▁sentence｜>",
        words=("<think>", "</think>"),
    ),
}  # fmt: skip


def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """One token a byte, and the family's own."""
    family = FAMILIES[name]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=family.eos,
        pad_token=family.pad,
        bos_token=family.bos,
        additional_special_tokens=list(family.special),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([AddedToken(word, special=False) for word in family.words])
    template = family.template
    if "{" not in template:
        template = (files("trl") / "chat_templates" / f"{template}.jinja").read_text("utf-8")
    tokenizer.chat_template = template
    return tokenizer


def save(name: str, folder: Path, **changes: Any) -> Path:
    """The model's folder; `changes` of its configuration."""
    family, tokenizer = FAMILIES[name], tokenizer_of(name)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    tokens = {
        f"{key}_token_id": getattr(tokenizer, f"{key}_token_id") for key in ("eos", "bos", "pad")
    }
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 1024}
    config = family.config(**sizes | heads | tokens | settings | family.more | changes)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    if family.ends:
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(family.ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
