"""Training on questions with images: TRL's numbers, every objective, nothing decoded twice or kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset
from tiny_spark import trainer_of
from tiny_vlms import FAMILIES, questions, saved, words_for
from transformers import PrinterCallback
from transformers.image_processing_utils import BaseImageProcessor
from trl import GRPOTrainer

from spark_lab import answers, prompts
from spark_lab.config import compose
from spark_lab.models.load import load_model
from spark_lab.tasks import build_task
from spark_lab.tasks.pictures import ImageFile

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
    from datasets import Image

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
