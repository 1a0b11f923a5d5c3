"""Completions about images: what `generate` writes, with each prompt and its images computed once."""

from __future__ import annotations

import pytest
import torch
from tiny_vlms import FAMILIES, ID, built, picture
from transformers import GenerationConfig

from spark_lab.models import decoding
from spark_lab.models.encoding import Encoder
from spark_lab.models.images import COUNTS, join
from spark_lab.records import Prompt

PAD, END, LENGTH = ID["<pad>"], ID["<eos>"], 12
ASKED = [
    Prompt("What is it?", (picture(0),)),
    Prompt("Sum?", (picture(1),)),
    Prompt("Words alone, and quite a few of them.", ()),
    Prompt("What is it?", (picture(2),)),
]
WHICH = [0, 1, 0, 3, 2, 1]


@pytest.fixture(params=FAMILIES, scope="module")
def family(request: pytest.FixtureRequest):
    model, processor = built(request.param)
    model.eval()
    return model, Encoder(processor, None)


def generated(model, rows, **settings) -> list[list[int]]:
    widths = [len(row.ids) for row in rows]
    width = max(widths)
    ids = torch.tensor([[PAD] * (width - len(row.ids)) + row.ids for row in rows])
    images = join([row.images for row in rows], widths, width)
    images = {key: value for key, value in images.items() if key not in COUNTS}
    config = GenerationConfig(
        max_new_tokens=LENGTH, do_sample=False, eos_token_id=[END], pad_token_id=PAD, **settings
    )
    found = model.generate(
        input_ids=ids, attention_mask=(ids != PAD).long(), generation_config=config, **images
    )[:, width:].tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in found]


def decoded(model, rows, **settings) -> list[list[int]]:
    images = [row.images for row in rows]
    ids = [row.ids for row in rows]
    with torch.no_grad():
        return decoding.decode(
            model, ids, images=images, max_new_tokens=LENGTH, ends=[END], pad=PAD, **settings
        )


def test_greedy_tokens_are_those_of_generate(family) -> None:
    model, encoder = family
    distinct = encoder(ASKED)
    rows = [distinct[place] for place in WHICH]
    expected = generated(model, rows)
    assert decoded(model, rows) == expected
    with torch.no_grad():
        begun = decoding.prefill(
            model, [row.ids for row in distinct], PAD, [row.images for row in distinct]
        )
    assert distinct[0].ids == distinct[3].ids
    assert not torch.allclose(begun.logits[0], begun.logits[3], atol=1e-3), "other images"
    ordinary = [token for row in expected for token in row]
    often = max(set(ordinary) - {END}, key=ordinary.count)
    without = decoded(model, rows, suppress=[often])
    assert without == generated(model, rows, suppress_tokens=[often])
    assert often not in {token for row in without for token in row}


def test_images_go_through_the_tower_once(family, monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoder = family
    distinct = encoder(ASKED)
    calls = []
    forward = type(model).forward

    def seen(self, *args, **kwargs):
        calls.append(kwargs.get("pixel_values"))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", seen)
    decoded(model, [distinct[place] for place in WHICH])
    first, *rest = calls
    expected = join([row.images for row in distinct], [len(row.ids) for row in distinct], 99)
    assert first.shape == expected["pixel_values"].shape
    assert rest and all(pixels is None for pixels in rest)


def test_a_trial_on_images_holds_what_it_promises(family, monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoder = family
    rows = encoder(ASKED[:2])
    ids, images = [row.ids for row in rows], [row.images for row in rows]
    assert decoding.obstacle(model) is None
    assert decoding.exact(model) and decoding.exact(model, ids, images)
    prefill = decoding.prefill

    def blind(model, prompts, pad, images=()):
        return prefill(model, prompts, pad, images and [None, None, *images[2:]])

    monkeypatch.setattr(decoding, "prefill", blind)
    assert decoding.exact(model) and not decoding.exact(model, ids, images)
