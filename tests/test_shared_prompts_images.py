"""Images of shared prompts: TRL's numbers, and the vision tower once for each distinct prompt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_models import TEMPERATURE, check
from tiny_spark import small, trainer_of
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from spark_lab.training.shared_prompts.rows import Scores
from spark_lab.training.trainer import SparkGRPOTrainer

IMAGE, WIDTH, LENGTH = 57, 16, 5
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 60,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
# Each row's prompt: 0 and 2 are the same words about different images.
WHICH = [0, 1, 2, 0, 1, 2, 0, 1]


def qwen() -> PreTrainedModel:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Qwen2_5_VLConfig(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 4,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE,
        video_token_id=56,
        vision_start_token_id=55,
        vision_end_token_id=54,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def idefics() -> PreTrainedModel:
    config = Idefics3Config(
        text_config={"model_type": "llama", **TEXT},
        vision_config=VISION,
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=0,
    )
    return Idefics3ForConditionalGeneration(config)


def llava() -> PreTrainedModel:
    config = LlavaConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={"model_type": "clip_vision_model", "projection_dim": 16, **VISION},
        image_token_id=IMAGE,
    )
    return LlavaForConditionalGeneration(config)


def gemma() -> PreTrainedModel:
    config = Gemma3Config(
        text_config=TEXT | {"head_dim": 8},
        vision_config=VISION | {"vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_index=IMAGE,
        boi_token_index=55,
        eoi_token_index=54,
    )
    return Gemma3ForConditionalGeneration(config)


# Image tokens of each prompt, and what the processor gives for them.
def grids(sizes: list[tuple[int, int, int]]) -> tuple[list[int], Callable[[list[int]], dict]]:
    """Flat patches and each image's grid, as Qwen's processor gives them."""
    patches = [torch.randn(t * h * w, 3 * 2 * 4 * 4) for t, h, w in sizes]

    def fields(which: list[int]) -> dict:
        return {
            "pixel_values": torch.cat([patches[i] for i in which]),
            "image_grid_thw": torch.tensor([sizes[i] for i in which]),
        }

    return [t * h * w // 4 for t, h, w in sizes], fields


def squares(tokens: int, *, nested: bool) -> tuple[list[int], Callable[[list[int]], dict]]:
    """One image of 8 x 8 for each row; Idefics has a dimension of images in a row."""
    pixels = torch.randn(3, 3, 8, 8)

    def fields(which: list[int]) -> dict:
        chosen = pixels[which]
        if not nested:
            return {"pixel_values": chosen}
        whole = torch.ones(len(which), 1, 8, 8, dtype=torch.bool)
        return {"pixel_values": chosen[:, None], "pixel_attention_mask": whole}

    return [tokens] * 3, fields


FAMILIES = {
    "qwen": (qwen, lambda: grids([(1, 4, 4), (1, 4, 8), (1, 4, 4)])),
    "idefics": (idefics, lambda: squares(1, nested=True)),
    "llava": (llava, lambda: squares(4, nested=False)),
    "gemma": (gemma, lambda: squares(4, nested=False)),
}


def made(family: str) -> tuple[PreTrainedModel, dict]:
    """A random model, and a window of rows for it with their images."""
    torch.manual_seed(0)
    build, processor = FAMILIES[family]
    model = build().train()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(3)
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    tokens, fields = processor()
    prompts = [[5, 6 + index % 2, 55, *[IMAGE] * tokens[index], 54, 7, 8] for index in range(3)]
    rows = len(WHICH)
    ids, mask = torch.zeros(rows, WIDTH + LENGTH, dtype=torch.long), torch.zeros(rows, 0)
    for row, index in enumerate(WHICH):
        ids[row, WIDTH - len(prompts[index]) : WIDTH] = torch.tensor(prompts[index])
    mask = (ids != 0).long()
    ids[:, WIDTH:] = torch.randint(9, 50, (rows, LENGTH))
    mask[:, WIDTH:] = (torch.arange(LENGTH) <= torch.arange(rows)[:, None] % LENGTH).long()
    window = {"ids": ids, "mask": mask, "num_images": [1] * rows, **fields(WHICH)}
    if family in ("qwen", "gemma"):
        kind = "mm_token_type_ids" if family == "qwen" else "token_type_ids"
        window[kind] = (ids == IMAGE).long()
    return model, window


def tried(trainer: SparkGRPOTrainer, model, window: dict) -> None:
    """What a trainer does before it samples its first window with images."""
    images = {key: value for key, value in window.items() if key not in ("ids", "mask")}
    trainer._scoring.try_images(model, (window["ids"], window["mask"], LENGTH), images)


def score(owner: type, trainer: SparkGRPOTrainer, model, window: dict, size: int | None = None):
    images = {key: value for key, value in window.items() if key not in ("ids", "mask")}
    method = owner._get_per_token_logps_and_entropies
    found = method(
        trainer, model, window["ids"], window["mask"], LENGTH, size, compute_entropy=True, **images
    )
    return Scores(*found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


EXACT = [(family, way) for family in FAMILIES for way in ("cache", "packed")]
EXACT.remove(("gemma", "packed"))


@pytest.mark.parametrize(("family", "way"), EXACT)
def test_images_give_trls_numbers(folder: Path, family: str, way: str):
    trainer, _ = trainer_of(small(f"trainer.shared_prompts={way}"), folder)
    model, window = made(family)
    tried(trainer, model, window)
    theirs = score(GRPOTrainer, trainer, model, window)
    check(model, score(SparkGRPOTrainer, trainer, model, window), theirs)
    assert trainer.scoring == f"shared prompts: {way}"
    chunks = score(SparkGRPOTrainer, trainer, model, window, size=5)
    torch.testing.assert_close(chunks.log_probs, theirs.log_probs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["cache", "packed"])
def test_the_vision_tower_sees_each_prompt_once(folder: Path, way: str):
    trainer, _ = trainer_of(small(f"trainer.shared_prompts={way}"), folder)
    model, window = made("qwen")
    seen = []
    model.model.visual.register_forward_hook(lambda _module, args, _output: seen.append(args[0]))
    tried(trainer, model, window)
    ours = 16 + 32 + 16
    assert [len(patches) for patches in seen] == [len(window["pixel_values"]), ours]
    score(SparkGRPOTrainer, trainer, model, window)
    assert [len(patches) for patches in seen[2:]] == [ours]


def forgetful(positions: Callable, ids: torch.Tensor, **options):
    """A model whose positions depend on who asks: TRL's rows are told from ours by a keyword."""
    found, deltas = positions(ids, **options)
    return (found if "video_grid_thw" in options else found + found[:1]), deltas


def test_what_is_not_exact_with_images_is_scored_as_in_trl(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    trainer, _ = trainer_of(small("trainer.shared_prompts=auto"), folder)
    model, window = made("qwen")
    model.model.get_rope_index = partial(forgetful, model.model.get_rope_index)
    with caplog.at_level(logging.WARNING):
        tried(trainer, model, window)
        theirs = score(GRPOTrainer, trainer, model, window)
        check(model, score(SparkGRPOTrainer, trainer, model, window), theirs)
    assert trainer.scoring.startswith("TRL: ") and "other numbers" in trainer.scoring
    said = [record for record in caplog.records if "computed for every row" in record.message]
    assert len(said) == 1


def test_image_tokens_that_see_each_other_are_not_packed(folder: Path):
    trainer, _ = trainer_of(small("trainer.shared_prompts=auto"), folder)
    model, window = made("gemma")
    assert trainer.scoring == "shared prompts: cache or packed"
    tried(trainer, model, window)
    assert trainer.scoring == "shared prompts: cache"
