"""The embedded image-text model: a decoder that computes as before, pictures of one token a glyph, and
the shipped weights, which read."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from tiny_spark import trainer_of

from spark_lab import answers, prompts
from spark_lab.config import compose
from spark_lab.drawing import QUESTION, DrawnSum
from spark_lab.models.decoding import Sampling, decode
from spark_lab.models.encoding import Encoder
from spark_lab.models.load import BUILTIN, load_model
from spark_lab.models.seer import END, IMAGE, START, build_processor, build_seer
from spark_lab.models.transcripts import GRAIN
from spark_lab.records import Prompt
from spark_lab.tasks import build_task

SHIPPED = BUILTIN["builtin:tiny_vlm"]
LONGEST = 40
TEXTS = ["Solve 7+1+5+9 \\boxed{}", "Judge 7+1+5 : 13 ? Yes or No \\boxed{}"]


@pytest.fixture(scope="module")
def decoder():
    return load_model(compose([]).model)


def test_on_text_it_computes_what_the_decoder_computes(decoder) -> None:
    plain, tokenizer = decoder
    seer = build_seer(build_processor(), plain).eval()
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text).input_ids])
        with torch.no_grad():
            expected, found = plain.eval()(ids).logits, seer(ids).logits
        torch.testing.assert_close(found[..., : len(tokenizer)], expected, rtol=1e-4, atol=1e-4)


def test_its_tokens_are_those_of_the_decoder_and_more(decoder) -> None:
    _, tokenizer = decoder
    own = build_processor().tokenizer
    for text in TEXTS:
        assert own(text).input_ids == tokenizer(text).input_ids
    ids = own(f"Solve {QUESTION} \\boxed{{}}").input_ids
    assert own.unk_token_id not in ids
    assert own.decode(ids) == f"Solve {QUESTION} \\boxed{{}}"


@pytest.mark.parametrize("text", ["1+2", "7+1+5", "9+8+7+6+5+4"])
def test_a_picture_is_one_token_for_each_of_its_glyphs(text: str) -> None:
    processor = build_processor()
    (encoded,) = Encoder(processor, None)([Prompt("Solve", (DrawnSum(text, "0", 0.1),))])
    assert encoded.ids.count(processor.image_token_id) == len(text)
    tokens = processor.tokenizer.convert_ids_to_tokens(encoded.ids)
    around = ["<user>", START, *[IMAGE] * len(text), END, "Solve", "<assistant>"]
    assert tokens == around


def test_the_shipped_files_are_small_and_those_of_the_recipe() -> None:
    files = [path for path in SHIPPED.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    provenance = json.loads((SHIPPED / "provenance.json").read_text())
    weights = sha256((SHIPPED / "model.safetensors").read_bytes()).hexdigest()
    assert provenance["sha256"]["model.safetensors"] == weights


def test_the_shipped_model_reads_sums_and_leaves_room() -> None:
    config = compose(["model=tiny_vlm", "task=visual_sums", f"task.visual_sums.grain={GRAIN / 2}"])
    model, processor = load_model(config.model, pictured=1)
    questions = build_task(config.task).eval
    solve = prompts.load(config.model.templates).solve
    asked = [
        Prompt(prompts.fill(solve, question=question.text), question.images)
        for question in questions
    ]
    encoded = Encoder(processor, None)(asked)
    luck = torch.rand(
        len(asked), LONGEST, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        completions = decode(
            model.eval(),
            [prompt.ids for prompt in encoded],
            images=[prompt.images for prompt in encoded],
            max_new_tokens=LONGEST,
            ends=[processor.tokenizer.eos_token_id],
            pad=processor.tokenizer.pad_token_id,
            sampling=Sampling(),
            luck=luck,
        )
    texts = processor.batch_decode(completions, skip_special_tokens=True)
    found = [answers.extract_boxed(text) for text in texts]
    right = sum(one == question.answer for one, question in zip(found, questions, strict=True))
    assert 0.3 < right / len(questions) < 0.5
    assert found.count(None) < 0.05 * len(found)
    read = sum(
        _digits(text) == question.images[0].text
        for text, question in zip(texts, questions, strict=True)
    )
    assert read > 0.9 * len(questions)


def _digits(working: str) -> str:
    """The sum that a working such as "7+1=8; 8+5=13" adds up."""
    steps = [step.partition("=")[0].strip() for step in working.partition("\\boxed")[0].split(";")]
    return "+".join([steps[0], *(step.partition("+")[2] for step in steps[1:])])


def test_training_changes_what_sees_and_what_speaks(tmp_path: Path) -> None:
    """The default experiment on pictures: every objective gets its items, each weight its gradient."""
    words = ["model=tiny_vlm", "task=visual_sums", "budget=steps", "budget.limit=2", "tracking=off"]
    words += ["trainer.prompts_per_window=6", "trainer.group_size=4", "trainer.save_every=0"]
    trainer, notebook = trainer_of(compose(words), tmp_path)
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    for name in ("pointwise", "pairwise", "reflect"):
        assert any(row["objective"] == name for row in notebook.rollout_rows)
    still = [
        name
        for name, weight in trainer.model.named_parameters()
        if torch.equal(weight, before[name])
    ]
    assert still == []
