"""Tokenizers made on the spot: one token a word, and byte-level BPE that splits a box in other ways."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHAT = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}#{% endif %}"
)
WORDS = ["<pad>", "<eos>", "#", *"0123456789+ ", "\\boxed{", "\\text{", "}", "Yes", "No", *"AB."]


def chat_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=CHAT
    )


def word_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>")
    )
    split = Regex(r"\\boxed\{|\\text\{|Yes|No|.")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(split, "isolated")
    tokenizer.decoder = decoders.Fuse()
    return chat_tokenizer(tokenizer)


def byte_pair_tokenizer(corpus: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with the pre-tokenizer of GPT-4 and Qwen, which keeps "{Yes" in one piece."""
    tokenizer = Tokenizer(models.BPE())
    piece = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(piece, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus * 50, trainer)
    return chat_tokenizer(tokenizer)
