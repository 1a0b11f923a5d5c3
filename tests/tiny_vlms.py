"""Random models that see images, one of each family, saved with their processors; and questions for them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from spark_lab.models.vision import processor_class
from spark_lab.tasks.pictures import ImageBytes

MARKS = [
    "<pad>", "<eos>", "<user>", "<assistant>", "<image>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
    "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
]  # fmt: skip
# A random model writes whole boxes now and then: their words are tokens of their own.
BOXES = [f"\\boxed{{{word}}}" for word in ("0", "1", "Yes", "No", "A", "B")]
WORDS = list(
    dict.fromkeys(
        [
            *MARKS,
            "<unk>",
            *BOXES,
            "Yes",
            "No",
            *"0123456789+=?:; \n",
            *"SsJjCcFfMmouarehlvdgixktp.,",
        ]
    )
)
ID = {word: index for index, word in enumerate(WORDS)}
CHAT = (
    "{{% for m in messages %}}<user>{{% if m['content'] is string %}}{{{{ m['content'] }}}}{{% else %}}"
    "{{% for part in m['content'] %}}{{% if part['type'] == 'image' %}}{place}{{% else %}}"
    "{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}{{% endif %}}{{% endfor %}}"
    "{{% if add_generation_prompt %}}<assistant>{{% endif %}}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": ID["<eos>"],
    "pad_token_id": ID["<pad>"],
    "tie_word_embeddings": False,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
SQUARE = {"height": 8, "width": 8}


def tokenizer_for(place: str, **named: str) -> PreTrainedTokenizerFast:
    """One token a character, a mark or a word; `place` is where an image stands in a chat."""
    tokenizer = Tokenizer(models.WordLevel(ID, unk_token="<unk>"))
    split = Regex(r"\\boxed\{(?:0|1|Yes|No|A|B)\}|Yes|No|[\s\S]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(split, "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(MARKS)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        extra_special_tokens=named,
        chat_template=CHAT.format(place=place),
    )


def qwen(kind: str = "Qwen2_5_VL", **vision: Any) -> tuple[Any, Any, dict[str, Any]]:
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = getattr(transformers, f"{kind}Config")(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config={"depth": 2, "patch_size": 4, "spatial_merge_size": 2} | vision,
        image_token_id=ID["<|image_pad|>"],
        video_token_id=ID["<|video_pad|>"],
        vision_start_token_id=ID["<|vision_start|>"],
        vision_end_token_id=ID["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    image_processor = transformers.Qwen2VLImageProcessor(
        patch_size=4, merge_size=2, min_pixels=64, max_pixels=1024
    )
    return config, image_processor, {"tokenizer": tokenizer_for(place)}


def qwen2_5() -> tuple[Any, Any, dict[str, Any]]:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 32}
    return qwen(**sizes, window_size=16, fullatt_block_indexes=[1])


def qwen2() -> tuple[Any, Any, dict[str, Any]]:
    return qwen("Qwen2VL", embed_dim=16, hidden_size=32, num_heads=2, mlp_ratio=2)


def idefics() -> tuple[Any, Any, dict[str, Any]]:
    config = transformers.Idefics3Config(
        text_config={"model_type": "llama", **TEXT},
        vision_config=VISION,
        image_token_id=ID["<image>"],
        scale_factor=2,
        pad_token_id=ID["<pad>"],
        tie_word_embeddings=False,
    )
    image_processor = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 16}, max_image_size={"longest_edge": 8}
    )
    return config, image_processor, {"tokenizer": tokenizer_for("<image>"), "image_seq_len": 1}


def llava() -> tuple[Any, Any, dict[str, Any]]:
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={"model_type": "clip_vision_model", "projection_dim": 16, **VISION},
        image_token_id=ID["<image>"],
        tie_word_embeddings=False,
    )
    image_processor = transformers.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=SQUARE)
    more = {"patch_size": 4, "vision_feature_select_strategy": "default"}
    # The class token of CLIP's tower, which the default strategy leaves out again.
    more |= {"num_additional_image_tokens": 1}
    return config, image_processor, {"tokenizer": tokenizer_for("<image>"), **more}


def gemma() -> tuple[Any, Any, dict[str, Any]]:
    config = transformers.Gemma3Config(
        text_config=TEXT | {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
        vision_config=VISION | {"vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_id=ID["<image_soft_token>"],
        boi_token_index=ID["<start_of_image>"],
        eoi_token_index=ID["<end_of_image>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"}
    tokenizer = tokenizer_for("<start_of_image>", **named, eoi_token="<end_of_image>")
    image_processor = transformers.Gemma3ImageProcessor(size=SQUARE)
    return config, image_processor, {"tokenizer": tokenizer, "image_seq_length": 4}


FAMILIES: dict[str, Callable[[], tuple[Any, Any, dict[str, Any]]]] = {
    "qwen2_5_vl": qwen2_5,
    "qwen2_vl": qwen2,
    "idefics3": idefics,
    "llava": llava,
    "gemma3": gemma,
}


def built(family: str) -> tuple[PreTrainedModel, ProcessorMixin]:
    config, image_processor, more = FAMILIES[family]()
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    # Random weights of the usual size make every token equally likely, which would hide mistakes.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(3)
        # Gemma's way from the images into the language model begins at zero.
        for weight in model.parameters():
            if not weight.any() and weight.dim() == 2:
                weight.normal_()
    template = more["tokenizer"].chat_template
    processor = processor_class(config)(image_processor, chat_template=template, **more)
    return model, processor


def saved(family: str, folder: Path) -> Path:
    """The folder of a model of the family, as its users would have it."""
    model, processor = built(family)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def picture(seed: int, size: tuple[int, int] = (16, 16)) -> ImageBytes:
    """Noise that is the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8, generator=generator)
    stream = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(stream, "PNG")
    return ImageBytes(stream.getvalue())


def questions(folder: Path, count: int, *, text_every: int = 0) -> str:
    """A file of questions that only their images tell apart; every `text_every`-th has none."""
    rows = []
    for index in range(count):
        path = folder / f"{index}.png"
        path.write_bytes(picture(index).data)
        alone = text_every and index % text_every == 0
        image = None if alone else path.name
        question = f"{index}+0?" if alone else "Sum?"
        rows.append({"question": question, "answer": str(index % 2), "image": image})
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def words_for(model: Path, file: str) -> list[str]:
    """Overrides of a small run of that model on that file."""
    return [
        "task=data",
        f"task.data.train_path={file}",
        "task.data.eval_size=3",
        "task.data.images_field=image",
        "task.verifier=exact",
        "model=local",
        f"model.path={model}",
        "model.templates=terse",
        "model.dtype=float32",
        "trainer.prompts_per_window=4",
        "trainer.group_size=4",
        "trainer.max_completion_length=8",
        "trainer.save_every=0",
        "trainer.threads=1",
        "budget=steps",
        "tracking=off",
    ]
