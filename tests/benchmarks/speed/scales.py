"""Random models of three sizes, and prompts of an exact number of tokens for them."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from spark_lab.build import quieten

SPECIAL = ["<pad>", "<user>", "<assistant>"]
END = "<eos>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<user>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A Qwen2 architecture with random weights; `groups` share a window of each judge shape."""

    name: str
    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    dtype: torch.dtype
    groups: tuple[int, int, int, int]

    def save(self, folder: Path) -> Path:
        """Weights (normal, seed 0), tokenizer and chat template, as spark-lab loads them."""
        quieten()
        tokenizer = _tokenizer(self.vocabulary)
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        model = Qwen2ForCausalLM(config).to(self.dtype)
        # No completion ends early, so that each has the stated number of tokens.
        model.generation_config.suppress_tokens = [tokenizer.eos_token_id]
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


# Tiny is for the tests of this suite, small for CPUs (23 M weights), the last one for GPUs: the
# sizes of Qwen2.5-0.5B.
SCALES = {
    scale.name: scale
    for scale in (
        Scale("tiny", 512, 32, 64, 2, 4, torch.float32, (1, 1, 1, 1)),
        Scale("small", 1024, 512, 1408, 8, 8, torch.float32, (2, 2, 2, 1)),
        Scale("qwen2.5-0.5b", 151_936, 896, 4864, 24, 14, torch.bfloat16, (8, 8, 4, 2)),
    )
}


def _tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token a byte, whatever pre-tokenizer an architecture insists on, and filler above.

    The filler says Yes and No in turn, so that a random model's verdicts are right half the time.
    The last token ends a text; the model's generation config suppresses it (see `Scale.save`).
    """
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    verdicts = ("Yes", "No")
    tokens += [f"\\boxed{{{verdicts[i % 2]}}}{i}" for i in range(vocabulary - len(tokens) - 1)]
    tokens.append(END)
    ids = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token=END,
        additional_special_tokens=SPECIAL[1:],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


def prompt(tokens: int, rng: random.Random) -> str:
    """Random letters that make a conversation of so many tokens, the chat template's two included."""
    return "".join(rng.choices(string.ascii_letters, k=tokens - 2))
