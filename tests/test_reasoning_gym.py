"""reasoning-gym's generators as tasks: their questions, their scorers, and that no answer is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_lab import answers
from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.tasks import Task, build_task

pytest.importorskip("reasoning_gym", reason="the extra reasoning-gym is not installed")

# Whose answers are read as Python or by sympy, whose entries depend on the order of sets, that print,
# and whose stored answer is none of several right ones.
GENERATORS = [
    "leg_counting",
    "countdown",
    "n_queens",
    "polynomial_multiplication",
    "bf",
    "graph_color",
]
RUN_BY_SCORERS = [
    "countdown",
    "puzzle24",
    "simple_integration",
    "polynomial_multiplication",
    "n_queens",
    "string_insertion",
    "spiral_matrix",
    "binary_matrix",
]


def task_of(generator: str, *words: str) -> Task:
    sizes = ["task.reasoning_gym.train_size=3", "task.reasoning_gym.eval_size=2"]
    named = f"task.reasoning_gym.generator={generator}"
    return build_task(
        compose(["task=reasoning_gym", named, *sizes, *words, "trainer.prompts_per_window=1"]).task
    )


def settings(*words: str) -> list[str]:
    return [f"+task.reasoning_gym.settings.{word}" for word in words]


def stored(gold: str) -> str:
    return gold.partition(": ")[2]


@pytest.mark.parametrize("generator", GENERATORS)
def test_stored_answers_are_right_and_others_wrong(generator: str) -> None:
    task = task_of(generator)
    assert task.counts == {"train": 3, "eval": 2}
    questions = [*task.train, *task.eval]
    assert len({question.text for question in questions}) == 5
    for question in questions:
        right = stored(question.answer)
        if generator != "graph_color":
            boxed = rf"So it is \boxed{{{right}}}"
            assert answers.grade_answer(task.verifier, boxed, question.answer).correct
    for wrong in ("", "surely not", "x" * 3_000, "(" * 900, "\0", "\ud800", "9**9**9**9"):
        assert not answers.verify(task.verifier, wrong, questions[0].answer)


def test_the_same_questions_in_any_order_of_generating_and_others_by_another_seed() -> None:
    first = task_of("chain_sum")
    more = task_of("chain_sum", "task.reasoning_gym.train_size=8")
    assert [q.text for q in more.eval] == [q.text for q in first.eval]
    other = task_of("chain_sum", "task.reasoning_gym.seed=1")
    assert other.fingerprint() != first.fingerprint()
    longer = task_of("chain_sum", *settings("min_terms=9", "max_terms=9"))
    assert all(
        question.text.count("+") + question.text.count(" - ") >= 8 for question in longer.train
    )


@pytest.mark.parametrize("generator", RUN_BY_SCORERS)
def test_no_answer_is_run(generator: str, tmp_path: Path) -> None:
    task = task_of(generator)
    gold = task.train[0].answer
    for number, code in enumerate(
        [
            "__import__('os').system('touch FILE')",
            "open('FILE','w')",
            "[open('FILE','w')]",
            'eval(\'open("FILE","w")\')',
            'S(\'open("FILE","w")\')',
            "().__class__.__base__.__subclasses__()",
        ]
    ):
        file = tmp_path / str(number)
        assert not answers.verify(task.verifier, code.replace("FILE", str(file)), gold)
    assert list(tmp_path.iterdir()) == []


def test_votes_compare_texts_and_runs_use_the_scorer() -> None:
    task = task_of("leg_counting")
    right = stored(task.train[0].answer)
    assert answers.alike(task.verifier, right, f" {right} ")
    assert not answers.alike(task.verifier, right, right + "1")


REFUSED = {
    "task.reasoning_gym.generator=leg_count": "task.reasoning_gym.generator=leg_counting?",
    "+task.reasoning_gym.settings.animals=2": "unexpected keyword argument",
    "+task.reasoning_gym.settings.max_animals=1": "settings that the generator leg_counting takes",
    "+task.reasoning_gym.settings.seed=2": "settings of the generator",
    "task.reasoning_gym.train_size=0": "at least 1",
    "task.reasoning_gym.generator=game_of_life_halting": "0 with a fit scorer",
    "task.reasoning_gym.generator=composite": "Must specify at least one dataset",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_no_generator_takes_is_refused(setting: str) -> None:
    with pytest.raises(UserError) as caught:
        task_of("leg_counting", setting)
    assert REFUSED[setting] in str(caught.value)


def test_scorers_and_questions_go_with_one_another_only() -> None:
    for words in (["task=reasoning_gym", "task.verifier=exact"], ["task.verifier=reasoning_gym"]):
        with pytest.raises(UserError, match=r"task\.verifier"):
            compose(words)


def test_a_generator_that_repeats_itself_says_so() -> None:
    few = ["task.reasoning_gym.train_size=400", *settings("min_terms=2", "max_terms=2")]
    task = task_of("chain_sum", *few, *settings("min_digits=1", "max_digits=1"))
    [(words, missing)] = [item for item in task.counts.items() if item[0].startswith("fewer")]
    assert missing == 402 - len(task.train) - len(task.eval) > 0, words
