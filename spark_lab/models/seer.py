"""The embedded image-text model: a small vision tower before the embedded decoder.

The class is that of the paper's models, Qwen2.5-VL. A token is 10 x 10 pixels (patches of 5, merged
2 x 2), one for each glyph of a drawn sum. (For this class, unlike Qwen2, AutoTokenizer keeps the
tokenizer that was saved.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_lab.drawing import QUESTION
from spark_lab.models.decoder import CONTEXT, TEXT, build_tokenizer, chat_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin, Qwen2_5_VLForConditionalGeneration

PATCH, MERGE = 5, 2
START, END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
# The words of a question about a picture, which the decoder does not know.
WORDS = tuple(dict.fromkeys(QUESTION.split()))
# Mean and spread of the pixels of drawn sums, black 0 and white 1.
MEAN, SPREAD = 0.75, 0.25
# Of a larger picture; it is scaled down.
MOST_PIXELS = 100 * 100

# A message is a text, or parts of which some are images.
_PARTS = (
    f"{{% if message['content'] is string %}}{TEXT}{{% else %}}"
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'image' %}}{START}{IMAGE}{END}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
)
# Where the configuration names the marks.
_TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}


def build_processor() -> ProcessorMixin:
    """The decoder's tokenizer with a few more tokens, and Qwen's image processor without torchvision."""
    from transformers import Qwen2_5_VLConfig, Qwen2VLImageProcessorPil

    from spark_lab.models.vision import processor_class

    side = PATCH * MERGE
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        size={"shortest_edge": side * side, "longest_edge": MOST_PIXELS},
        image_mean=[MEAN] * 3,
        image_std=[SPREAD] * 3,
    )
    tokenizer = build_tokenizer(WORDS, (START, END, IMAGE, VIDEO))
    tokenizer.chat_template = chat_template(_PARTS)
    kind = processor_class(Qwen2_5_VLConfig())
    return kind(images, tokenizer, chat_template=tokenizer.chat_template)


def build_seer(
    processor: ProcessorMixin, decoder: PreTrainedModel
) -> Qwen2_5_VLForConditionalGeneration:
    """A random vision tower of 2 layers and width 48 before a copy of `decoder`'s weights.

    A Llama is a Qwen2 without biases in attention, so the copy computes the same on text. All of a
    token's position is its column (mrope_section): in a picture of one row the decoder then sees
    the tokens one after the other, as it saw those of a text.
    """
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer, text = processor.tokenizer, decoder.config
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _TOKENS.items()}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_parameters": {
                **text.rope_parameters,
                "mrope_section": [0, 0, text.head_dim // 2],
            },
            "initializer_range": text.initializer_range,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_heads": 4,
            "out_hidden_size": text.hidden_size,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            # Every layer sees the whole picture.
            "fullatt_block_indexes": [0, 1],
            "initializer_range": text.initializer_range,
        },
        tie_word_embeddings=True,
        **ids,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    _copy(decoder, model)
    return model


def _copy(decoder: PreTrainedModel, model: PreTrainedModel) -> None:
    import torch

    target = model.model.language_model
    with torch.no_grad():
        for name, weights in decoder.model.state_dict().items():
            own = target.get_parameter(name)
            # The decoder's tokens are the first of the vocabulary.
            own[: len(weights)] = weights
        for layer in target.layers:
            attention = layer.self_attn
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
                projection.bias.zero_()
