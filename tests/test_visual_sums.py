"""Drawn sums: the same on every machine, legible to another reader, and those of the text task."""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import sha256

import numpy as np
import pytest

from spark_lab.config import compose
from spark_lab.drawing import GLYPH_HEIGHT, GLYPH_WIDTH, GLYPHS, DrawnSum, draw
from spark_lab.errors import UserError
from spark_lab.schema import ChainSumsConfig, TaskConfig, VisualSumsConfig
from spark_lab.tasks import Task, build_task, check_task, pictured

SUMS = VisualSumsConfig(
    min_terms=3, max_terms=5, train_size=60, eval_size=40, seed=0, grain=0.1, dot=1
)


def drawn(**changed: float) -> TaskConfig:
    return TaskConfig(verifier="exact", visual_sums=replace(SUMS, **changed))


def written() -> TaskConfig:
    config = {key: value for key, value in asdict(SUMS).items() if key not in ("grain", "dot")}
    return TaskConfig(verifier="exact", chain_sums=ChainSumsConfig(**config))


def read(pixels: np.ndarray, characters: int) -> str:
    """A reader of its own: the best places for glyphs, by correlation, that don't overlap."""
    size = (GLYPH_HEIGHT, GLYPH_WIDTH)
    seen = np.lib.stride_tricks.sliding_window_view(255.0 - pixels, size)
    seen = seen - seen.mean((2, 3), keepdims=True)
    names, glyphs = list(GLYPHS), np.stack(list(GLYPHS.values())).astype(float)
    glyphs -= glyphs.mean((1, 2), keepdims=True)
    glyphs /= np.linalg.norm(glyphs, axis=(1, 2), keepdims=True)
    alike = np.einsum("yxhw,ghw->gyx", seen, glyphs) / (np.linalg.norm(seen, axis=(2, 3)) + 1e-9)
    best = alike.max(1)
    found: dict[int, str] = {}
    for place in np.argsort(-best, axis=None):
        glyph, x = np.unravel_index(place, best.shape)
        if all(abs(x - other) >= GLYPH_WIDTH for other in found):
            found[int(x)] = names[glyph]
        if len(found) == characters:
            break
    return "".join(found[x] for x in sorted(found))


@pytest.mark.parametrize("grain", [0.0, 0.1, 0.2])
def test_every_digit_of_every_picture_can_be_read(grain: float) -> None:
    texts = [question.text for question in build_task(written()).eval]
    assert set("".join(texts)) == set("123456789+")
    for text in texts:
        assert read(draw(text, seed="0", grain=grain), len(text)) == text


def test_the_same_arguments_give_the_same_pixels_on_every_machine() -> None:
    pixels = draw("0+1+2+3+4+5+6+7+8+9", seed="0", grain=0.1)
    assert pixels.shape == (10, 190) and pixels.dtype == np.uint8
    digest = sha256(pixels.tobytes()).hexdigest()
    assert digest == "b8cd839b9c1bb236fe5cfdccf7c1bae84e3e39d1aa4618b6e137c31080cb7067"


def test_a_picture_differs_with_its_seed_its_sum_and_its_grain() -> None:
    picture = DrawnSum("7+1+5", "0", 0.1)
    others = [
        DrawnSum("7+1+5", "1", 0.1),
        DrawnSum("7+1+6", "0", 0.1),
        DrawnSum("7+1+5", "0", 0.2),
        DrawnSum("7+1+5", "0", 0.1, dot=2),
    ]
    prints = {other.fingerprint for other in [picture, *others]}
    assert len(prints) == 5
    assert picture.fingerprint == DrawnSum("7+1+5", "0", 0.1).fingerprint


def test_a_dot_may_be_several_pixels_wide() -> None:
    small, large = (DrawnSum("7+1+5", "0", 0.1, dot=dot).load() for dot in (1, 4))
    assert (small.mode, small.size, large.size) == ("RGB", (50, 10), (200, 40))
    assert np.array_equal(np.asarray(large)[::4, ::4], np.asarray(small))


def test_the_questions_are_those_of_the_text_task_and_say_no_digit() -> None:
    seen, text = build_task(drawn()), build_task(written())
    for questions, sums in ((seen.train, text.train), (seen.eval, text.eval)):
        for question, other in zip(questions, sums, strict=True):
            assert (question.index, question.answer) == (other.index, other.answer)
            assert not any(character.isdigit() for character in question.text)
            (picture,) = question.images
            assert picture.text == other.text
    assert pictured(drawn()) == 100


def test_more_training_questions_leave_the_held_out_pictures_alone() -> None:
    assert build_task(drawn(train_size=80)).eval == build_task(drawn()).eval


@pytest.mark.parametrize("changed", [{"seed": 1}, {"grain": 0.2}, {"dot": 2}])
def test_the_fingerprint_of_the_task_knows_its_pictures(changed: dict[str, float]) -> None:
    tasks: list[Task] = [build_task(drawn()), build_task(drawn()), build_task(drawn(**changed))]
    first, again, other = (task.fingerprint() for task in tasks)
    assert first == again != other


def test_impossible_settings_are_refused_by_their_own_names() -> None:
    (problem,) = check_task(drawn(min_terms=1))
    assert problem.where == "task.visual_sums"
    with pytest.raises(UserError, match=r"task\.visual_sums\.max_terms=4"):
        build_task(drawn(max_terms=3, train_size=700))
    with pytest.raises(UserError) as refused:
        settings = ("grain=1.5", "dot=0", "train_size=8")
        compose(["task=visual_sums", *(f"task.visual_sums.{setting}" for setting in settings)])
    for key in ("grain", "dot", "train_size"):
        assert f"task.visual_sums.{key}" in str(refused.value)


def test_a_model_of_text_alone_is_refused() -> None:
    with pytest.raises(UserError, match="a model of text alone, for 4352 questions"):
        compose(["task=visual_sums"])
