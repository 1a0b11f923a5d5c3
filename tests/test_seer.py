"""The embedded image-text model: a decoder that computes as before, pictures of one token a glyph, and
the shipped weights, which read."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from tiny_spark import trainer_of

from spark_lab import prompts
from spark_lab.build import load_generator
from spark_lab.config import compose
from spark_lab.drawing import QUESTION, DrawnSum
from spark_lab.evaluation.policy import solve
from spark_lab.models.encoding import Encoder
from spark_lab.models.load import BUILTIN, load_model
from spark_lab.models.seer import END, IMAGE, START, build_processor, build_seer
from spark_lab.records import Prompt
from spark_lab.tasks import build_task

SHIPPED = BUILTIN["builtin:tiny_vlm"]
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
    config = compose(["model=tiny_vlm", "task=visual_sums", "eval.samples=1"])
    questions = build_task(config.task).eval
    template = prompts.load(config.model.templates).solve
    generator = load_generator(config, None)
    rows, _ = solve(questions, template, config.task.verifier, config.eval, generator)
    sampled = [row for row in rows if row["sample"] >= 0]
    assert 0.3 < sum(row["correct"] for row in sampled) / len(sampled) < 0.5
    assert sum(row["answer"] is None for row in sampled) < 0.05 * len(sampled)
    sums = [questions[row["question"]].images[0].text for row in sampled]
    read = [_digits(row["completion"]) for row in sampled]
    assert sum(map(str.__eq__, read, sums)) > 0.95 * len(sampled)


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
