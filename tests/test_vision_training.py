"""Training on questions with images: TRL's numbers, every objective, nothing decoded twice or kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset, Image
from safetensors.torch import load_file
from tiny_spark import trainer_of
from tiny_vlms import FAMILIES, questions, saved, words_for
from transformers import PrinterCallback
from transformers.image_processing_utils import BaseImageProcessor
from trl import GRPOTrainer

from spark_lab import answers, prompts
from spark_lab.config import compose
from spark_lab.models.images import join
from spark_lab.models.load import load_model
from spark_lab.tasks import build_task
from spark_lab.tasks.pictures import ImageFile
from spark_lab.training.state import STATE

SEEN = ("pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask")
SEEN += ("token_type_ids", "mm_token_type_ids")
TIMINGS = ("time", "runtime", "per_second")
SHARED = (
    "per_device_train_batch_size steps_per_generation gradient_accumulation_steps num_generations "
    "num_iterations max_completion_length temperature learning_rate beta logging_steps report_to "
    "disable_tqdm use_cpu bf16 remove_unused_columns seed gradient_checkpointing adam_beta1 "
    "adam_beta2 max_grad_norm loss_type"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: saved(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def some_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return questions(tmp_path_factory.mktemp("mixed"), 11, text_every=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return questions(tmp_path_factory.mktemp("questions"), 11)


def run(folder: Path, *words: str):
    trainer, notebook = trainer_of(compose(list(words)), folder)
    trainer.train()
    return trainer, notebook


def logged(trainer) -> list[dict]:
    return [
        {key: value for key, value in row.items() if not any(word in key for word in TIMINGS)}
        for row in trainer.state.log_history
    ]


def plain_trl(config, args) -> GRPOTrainer:
    """TRL as its documentation says: a column of images beside the prompts."""
    task = build_task(config.task)
    solve = prompts.load("terse").solve

    def verifier(completions, answer, **_):
        return [
            answers.grade_answer("exact", turns[0]["content"], gold).reward
            for turns, gold in zip(completions, answer, strict=True)
        ]

    rows = {
        "prompt": [
            [{"role": "user", "content": prompts.fill(solve, question=q.text)}] for q in task.train
        ],
        "answer": [question.answer for question in task.train],
        "image": [question.images[0].path for question in task.train],
    }
    model, processor = load_model(config.model)
    dataset = Dataset.from_dict(rows).cast_column("image", Image())
    trainer = GRPOTrainer(
        model, verifier, args=args, train_dataset=dataset, processing_class=processor
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@pytest.mark.parametrize("family", FAMILIES)
def test_without_objectives_every_number_is_trls(models, file, tmp_path: Path, family: str) -> None:
    """Window after window, with old and reference log-probabilities, cut and shuffled by TRL."""
    config = compose(
        [*words_for(models[family], file), "objective=none", "trainer.shared_prompts=off",
         "trainer.micro_batch_size=8", "trainer.updates_per_window=2", "trainer.beta=0.05",
         "trainer.learning_rate=1e-3", "budget.limit=4"])  # fmt: skip
    ours, _ = trainer_of(config, tmp_path / "ours")
    ours.train()
    args = type(ours.args)(
        **{name: getattr(ours.args, name) for name in SHARED.split()},
        output_dir=str(tmp_path / "theirs"),
        max_steps=4,
        lr_scheduler_type="constant",
        save_strategy="no",
    )
    theirs = plain_trl(config, args)
    theirs.train()
    assert len(logged(ours)) == 5 and any(row["grad_norm"] > 0 for row in logged(ours)[:4])
    assert logged(ours)[:4] == logged(theirs)[:4]


class Counter:
    """Counts what is decoded and what image processors are given, of which question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.decoded: list[str] = []
        self.processed = 0
        load = ImageFile.load
        monkeypatch.setattr(
            ImageFile, "load", lambda one: self.decoded.append(one.path) or load(one)
        )
        call = BaseImageProcessor.__call__

        def process(processor, images, *rest, **settings):
            self.processed += 1
            return call(processor, images, *rest, **settings)

        monkeypatch.setattr(BaseImageProcessor, "__call__", process)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_objective_sees_its_questions_images_once_a_window(
    models, file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """Joint windows of questions and of judge and reflection prompts about them."""
    words = [*words_for(models[family], file), "objective=spark", "budget.limit=4"]
    trainer, notebook = trainer_of(compose(words), tmp_path)
    counter = Counter(monkeypatch)
    plan, windows = trainer.loop.plan, []
    trainer.loop.plan = lambda: windows.append(plan()) or windows[-1]
    trainer.train()
    kinds = {row["objective"] for row in notebook.rollout_rows}
    assert kinds >= {"solve", "pointwise", "reflect"}, "judge windows were trained on"
    asked = [{picture for prompt in window for picture in prompt.images} for window in windows]
    assert any(len(window) > len(seen) for window, seen in zip(windows, asked, strict=True))
    assert len(counter.decoded) == sum(map(len, asked))
    assert counter.processed == sum(map(len, asked))
    assert all(len(row["images"]) == 1 for row in notebook.rollout_rows)
    assert "shared prompts" in trainer.scoring and trainer.generation == "shared prompts"
    assert "png" not in json.dumps(trainer.loop.state_dict()), "recycled items hold no image"


MIXED = ["objective=spark", "schedule=mixed", "trainer.updates_per_window=2"]
MIXED += ["trainer.micro_batch_size=4", "trainer.beta=0.05", "trainer.num_iterations=2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_images_stay_with_their_rows(models, some_text, tmp_path: Path, family: str) -> None:
    """Shuffled, grouped, sorted by length and trimmed, with questions of text among them: each row
    is scored as if it were alone."""
    words = [*words_for(models[family], some_text), *MIXED, "budget.limit=4"]
    trainer, _ = run(tmp_path, *words)
    assert trainer.scoring.startswith("shared prompts")
    plain, checked = trainer._scoring._plain, 0
    for batch in trainer._buffered_inputs:
        whole = batch | trainer._seen(batch["group"].tolist(), batch)
        images = {key: whole[key] for key in whole if key in SEEN}
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        length = batch["completion_ids"].shape[1]
        found, *_ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, length, **images
        )
        for row, group in enumerate(batch["group"].tolist()):
            [asked] = trainer.prompts.rows([group])
            written = batch["completion_ids"][row][batch["completion_mask"][row] > 0]
            alone = torch.tensor([[*asked.ids, *written.tolist()]])
            seen = join([asked.images], [len(asked.ids)], len(asked.ids), len(written))
            expected, *_ = plain(trainer.model, alone, torch.ones_like(alone), len(written), **seen)
            ours = found[row, : len(written)]
            torch.testing.assert_close(ours, expected[0], rtol=1e-4, atol=1e-4)
            checked += asked.images is not None
    assert 0 < checked < 16, "rows with and without images"


def test_a_resumed_run_equals_an_uninterrupted_one(models, some_text, tmp_path: Path) -> None:
    """From a checkpoint in the middle of a window, which holds none of its images."""
    words = [*words_for(models["qwen2_5_vl"], some_text), *MIXED, "budget.limit=9"]
    words += ["trainer.save_every=3", "trainer.keep_checkpoints=9"]
    whole, expected = run(tmp_path / "whole", *words)
    resumed, found = trainer_of(compose(words), tmp_path / "resumed")
    checkpoint = tmp_path / "whole/checkpoints/checkpoint-3"
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert found.rows == expected.rows[3:] and len(expected.rows) == 9
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    )
    window = load_file(checkpoint / "window_0.safetensors")
    assert window and not any("pixel" in name or "grid" in name for name in window)
    own = [checkpoint / name for name in (STATE, "window_0.safetensors", "window_0.json")]
    assert sum(file.stat().st_size for file in own) < 60_000
    pixels = sum(one.images["pixel_values"].nbytes for one in resumed.prompts.encoded if one.images)
    assert pixels > 5_000, "that a checkpoint would have shown"


def test_a_tower_can_stay_as_it_is(models, file, tmp_path: Path) -> None:
    words = [*words_for(models["qwen2_5_vl"], file), "objective=pointwise", "budget.limit=2"]
    words += ["model.freeze_vision=true", "trainer.learning_rate=1e-2"]
    before, _ = load_model(compose(words).model)
    trainer, _ = run(tmp_path / "whole", *words)
    pairs = zip(before.named_parameters(), trainer.model.parameters(), strict=True)
    changed = {name for (name, old), new in pairs if not torch.equal(old, new)}
    assert any("visual.merger" in name for name in changed)
    assert changed and not any("visual.blocks" in name for name in changed)
    adapted, _ = run(tmp_path / "adapters", *words, "model/lora=default")
    layers = [name for name, _ in adapted.model.named_parameters() if "lora_" in name]
    assert any("language_model" in name for name in layers)
    assert not any("visual.blocks" in name for name in layers)


def test_the_policy_judges_its_answers_to_images(models, file, tmp_path: Path) -> None:
    words = [*words_for(models["idefics3"], file), "objective=none", "reward=self_judge"]
    trainer, notebook = run(tmp_path, *words, "reward.labelled=0.5", "budget.limit=2")
    assert trainer.generation == "shared prompts"
    assert any("reward/judge_parse_failure_rate" in row for row in notebook.rows)
