"""The embedded decoder: its architecture and the word-level tokenizer of the chain-sum language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 512
LARGEST_NUMBER = 99
PAD, END, UNKNOWN, USER, ASSISTANT = "<pad>", "<eos>", "<unk>", "<user>", "<assistant>"
BOX = "\\boxed{"
SIGNS = ("+", "=", ";", "?", ":", BOX, "}")
WORDS = ("Solve", "Judge", "Compare", "Fix", "Check", "Match", "or", "Yes", "No", "A", "B")

# One token for a number, an opening box, a word or any other visible character.
_TOKEN = r"\\boxed\{|[0-9]+|[A-Za-z]+|\S"

TEXT = "{{ message['content'] }}"


def chat_template(asked: str = TEXT) -> str:
    """The Jinja template of a chat; `asked` renders a message of the user or of the system."""
    return (
        "{% for message in messages %}"
        "{% if message['role'] == 'assistant' %}"
        "<assistant>{{ message['content'] }}<eos>"
        f"{{% else %}}<user>{asked}{{% endif %}}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )


def build_tokenizer(
    words: Sequence[str] = (), marks: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer in which every number from 0 to 99, every sign and every word is one token.

    Spaces are not tokens: encoding drops them and decoding puts them back as the language writes
    them ("7+1=8; 8 ? 9 No \\boxed{No}"), so a decoded completion encodes to the same tokens again.
    Text outside the language becomes <unk>, never an error. `words` and `marks` (special tokens) are
    further tokens, behind all others.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = [str(number) for number in range(LARGEST_NUMBER + 1)]
    tokens = [PAD, END, UNKNOWN, USER, ASSISTANT, *SIGNS, *WORDS, *numbers, *words, *marks]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(_TOKEN), "isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(r"^(?![+=;}])"), " "),
            decoders.Fuse(),
            *(decoders.Replace(f"{sign} ", sign) for sign in ("+", "=", BOX)),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT, *marks],
        chat_template=chat_template(),
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_decoder(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of 3 layers and width 96, embeddings tied: 0.34 million parameters, random.

    Not Qwen2: for that architecture AutoTokenizer ignores the tokenizer class that was saved and
    puts Qwen2's own pre-tokenizer in its place, silently.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        # Larger than the usual 0.02: two numbers are told apart after fewer steps.
        initializer_range=0.1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)
