"""Models that think before they answer: what is read, recycled, shown to judges, and counted."""

from __future__ import annotations

from typing import Any

import pytest
from families import save
from tiny_spark import SMALL, Notebook, trainer_of

from spark_lab import answers
from spark_lab.build import build_generator
from spark_lab.config import compose
from spark_lab.evaluation.generation import Completion
from spark_lab.records import Prompt, Rollout, Verdict, cut_thinking, spoken

# What a window's rollouts of a group say; the first is right, as every question's answer is 5.
SAID = [
    "<think>\n5 or \\boxed{7}?\n</think>\n\nIt is \\boxed{5}.",
    "<think>\nSo \\boxed{5}\n</think>\n\nIt is \\boxed{6}.",
    "<think>\nSo \\boxed{5}, or",
    "<think>\n</think>\\boxed{6}",
]
TEXTS = {
    "plain \\boxed{1}": ("plain \\boxed{1}", False),
    " kept as it is ": (" kept as it is ", False),
    "<think>a</think>\n\nb": ("b", False),
    "a</think>b": ("b", False),
    "<think>a": ("", True),
    "b<think>a": ("b", True),
    "<think>a</think>b<think>c</think>d": ("d", False),
    "<think></think>": ("", False),
    "</think><think>": ("", True),
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_said_and_what_is_only_thought(text: str) -> None:
    said, cut = TEXTS[text]
    assert (spoken(text), cut_thinking(text)) == (said, cut)
    rollout = Rollout(text, Verdict(0.0, "1"))
    assert rollout.showable("working") == bool(said.strip())
    assert rollout.shown("working") == said and rollout.shown("answer") == "1"


class Scripted:
    """Stands for what a model samples: texts in turn, as tokens that end where the text does."""

    def __init__(self, trainer: Any, opened: str):
        self._encode, self._end = trainer.processing_class, trainer.eos_token_ids[0]
        self._opened = opened

    def __call__(self, rows: list[Any], num_generations: int) -> tuple:
        texts = [SAID[row % len(SAID)].removeprefix(self._opened) for row in range(len(rows))]
        ids = [self._encode(text, add_special_tokens=False).input_ids for text in texts]
        return [
            row if cut_thinking(SAID[i % 4]) else [*row, self._end] for i, row in enumerate(ids)
        ], None


@pytest.fixture(scope="module", params=["qwen3", "deepseek_r1"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Notebook]:
    """Two updates of a model that opens its thinking block itself, and of one whose template does."""
    folder = tmp_path_factory.mktemp(request.param)
    questions = folder / "questions.jsonl"
    lines = [f'{{"question": "{n}+{5 - n}", "answer": 5}}\n' for n in range(-20, 24)]
    questions.write_text("".join(lines))
    words = ["task=data", f"task.data.train_path={questions}", "task.data.eval_size=4"]
    words += [f"objective.{name}.material=working" for name in ("pointwise", "pairwise", "reflect")]
    words += ["recycle.pairwise_share=0.5", f"model.path={save(request.param, folder / 'model')}"]
    others = [word for word in SMALL if not word.startswith("task.")]
    config = compose([*others, *words, "budget.limit=3"])
    trainer, notebook = trainer_of(config, folder / "run")
    trainer.sample = Scripted(trainer, trainer.encoder.chat.opening)
    trainer.train()
    return (trainer, config), notebook


def test_a_thinking_block_holds_no_answer(trained: tuple[Any, Notebook]) -> None:
    _, notebook = trained
    rows = [row for row in notebook.rollout_rows if row["objective"] == "solve"]
    assert [row["completion"] for row in rows[:4]] == SAID
    assert [row["answer"] for row in rows[:4]] == ["5", "6", None, "6"]
    assert [row["reward"] for row in rows[:4]] == [1.0, 0.0, 0.0, 0.0]


def test_judges_and_reflections_are_shown_what_follows_it(trained: tuple[Any, Notebook]) -> None:
    _, notebook = trained
    asked = [row for row in notebook.rollout_rows if row["objective"] != "solve"]
    assert {row["objective"] for row in asked} == {"pointwise", "pairwise", "reflect"}
    for row in asked:
        assert "think>" not in row["prompt"] and "\\boxed{7}" not in row["prompt"]
    assert any("It is \\boxed{6}." in row["prompt"] for row in asked)


def test_thoughts_that_are_cut_off_are_counted(trained: tuple[Any, Notebook]) -> None:
    _, notebook = trained
    for row in notebook.rows:
        assert row["train/solve/thinking_cut_fraction"] == 0.25
        assert row["train/solve/truncated_fraction"] == 0.25
        assert row["train/solve/parse_failure_rate"] == 0.25


def test_an_evaluation_reads_thoughts_alike(trained: tuple[Any, Notebook]) -> None:
    """A box in a block that was cut off is no verdict, so it has no probability."""
    (trainer, config), _ = trained
    generator = build_generator(config, trainer.model, trainer.processing_class)
    tokenizer, opening = trainer.processing_class, trainer.encoder.chat.opening
    prompts, completions = [], []
    for text in ("<think>\n\\boxed{No}\n</think>\n\n\\boxed{Yes}", "<think>\n\\boxed{Yes}"):
        ids = tokenizer(text.removeprefix(opening), add_special_tokens=False).input_ids
        completion = generator._read(ids)
        assert completion.text == text
        prompts.append(Prompt("Right?"))
        completions.append(completion)
    found = generator.verdict_probabilities(prompts, completions, ("Yes", "No"))
    assert found[0] is not None and found[1] is None


def test_plain_models_have_no_such_metric() -> None:
    assert answers.extract_boxed(SAID[2]) is None
    completion = Completion("\\boxed{1}", 4, False)
    assert not cut_thinking(completion.text)
