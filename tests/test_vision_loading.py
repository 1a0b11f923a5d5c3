"""Models that see images by their path, without torchvision; what they make of prompts."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from test_load import config
from tiny_vlms import FAMILIES, picture, saved
from transformers import AutoProcessor

from spark_lab.errors import UserError
from spark_lab.models.chat import Chat
from spark_lab.models.encoding import Encoder
from spark_lab.models.images import COUNTS, join
from spark_lab.models.load import load_model
from spark_lab.models.towers import seeing
from spark_lab.models.vision import freeze_vision
from spark_lab.records import Prompt


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: saved(family, root / family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, folders: dict[str, Path]):
    return load_model(config(folders[request.param]), pictured=1)


def test_its_processor_is_the_models_own(loaded, folders: dict[str, Path]) -> None:
    model, processor = loaded
    kind = type(model).__name__.removesuffix("ForConditionalGeneration")
    assert type(processor).__name__ == f"{kind}Processor"
    assert processor.tokenizer.padding_side == "left" and processor.chat_template
    assert not hasattr(processor, "video_processor")


def test_what_is_saved_is_read_by_transformers(loaded, tmp_path: Path) -> None:
    _, processor = loaded
    processor.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "processor_config.json").read_text())
    assert stored["processor_class"] == type(processor).__name__
    if find_spec("torchvision") is None and "Qwen2" in type(processor).__name__:
        return  # transformers reads these with their videos only
    assert type(AutoProcessor.from_pretrained(tmp_path)).__name__ == type(processor).__name__


def test_prompts_are_what_the_processor_makes_of_them(loaded) -> None:
    """One by one, joined: the batch of a processor that is given them all."""
    _, processor = loaded
    encoder = Encoder(processor)
    prompts = [Prompt("Sum?", (picture(0),)), Prompt("Is it 1 or 0?", (picture(1), picture(0)))]
    rows = encoder(prompts)
    texts = [
        processor.apply_chat_template(
            encoder.messages(prompt), tokenize=False, add_generation_prompt=True
        )
        for prompt in prompts
    ]
    images = [[one.load() for one in prompt.images] for prompt in prompts]
    theirs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    width = theirs["input_ids"].shape[1]
    ours = join([row.images for row in rows], [len(row.ids) for row in rows], width)
    for row, ids, mask in zip(rows, theirs["input_ids"], theirs["attention_mask"], strict=True):
        assert row.ids == ids[mask.bool()].tolist()
    assert ours.keys() - set(COUNTS) == theirs.keys() - {"input_ids", "attention_mask"}
    for key in ours.keys() - set(COUNTS):
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=0)
    assert [encoder.length(prompt) for prompt in prompts] == [len(row.ids) for row in rows]
    other = Prompt("Another text.", prompts[1].images)
    assert encoder.length(other) == len(Encoder(processor)([other])[0].ids)


def test_words_that_look_like_an_image_are_words(loaded) -> None:
    """What a model wrote is shown to it again: it must not take the place of an image."""
    model, processor = loaded
    written = "<image> <|image_pad|> <start_of_image> <image_soft_token> <|video_pad|>"
    one, plain = Encoder(processor)([Prompt(written, (picture(0),)), Prompt("Sum?", (picture(0),))])
    token = model.config.image_token_id
    assert one.ids.count(token) == plain.ids.count(token) > 0
    [alone] = Encoder(processor)([Prompt(written)])
    assert token not in alone.ids and alone.images is None


def test_a_tower_is_frozen_without_its_projection(loaded) -> None:
    model, _ = loaded
    count = freeze_vision(model)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert count > 0 and frozen and all(map(seeing, frozen))
    assert any("layers.0" in name for name in trained)
    projections = ("merger", "connector", "multi_modal_projector")
    assert any(word in name for name in trained for word in projections)


def test_what_cant_see_or_be_loaded_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="for 3 questions with images"):
        load_model(config("builtin:tiny"), pictured=3)
    _, tokenizer = load_model(config("builtin:tiny"))
    with pytest.raises(UserError, match="a model that sees images"):
        Encoder(tokenizer)([Prompt("1+1", (picture(0),))])
    folder = saved("llava", tmp_path / "llava")
    (folder / "processor_config.json").unlink()
    with pytest.raises(UserError, match="without its image processor"):
        load_model(config(folder))


def test_a_template_without_a_place_for_images_is_refused(folders: dict[str, Path]) -> None:
    settings = config(folders["llava"])
    _, processor = load_model(settings)
    assert Chat.of(settings, processor).opening == ""
    processor.chat_template = "{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}"
    with pytest.raises(UserError, match="one place for an image"):
        Chat.of(settings, processor)
    processor.chat_template = "{{ messages[0]['content'] + 1 }}"
    with pytest.raises(UserError, match="TypeError"):
        Chat.of(replace(settings, system_prompt="Look."), processor)
