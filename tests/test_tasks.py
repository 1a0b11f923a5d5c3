from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spark_lab.errors import UserError
from spark_lab.schema import ChainSumsConfig, JsonlConfig, TaskConfig
from spark_lab.tasks import build_task, check_task

SUMS = ChainSumsConfig(min_terms=3, max_terms=5, train_size=300, eval_size=64, seed=0)


def sums(**changed: int) -> TaskConfig:
    return TaskConfig(verifier="exact", chain_sums=replace(SUMS, **changed))


def lines(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def own(train: str, held_out: str, eval_size: int | None = None) -> TaskConfig:
    config = JsonlConfig(train, held_out, "question", "answer", eval_size)
    return TaskConfig(verifier="math", jsonl=config)


def row(question: object, answer: object) -> dict[str, object]:
    return {"question": question, "answer": answer}


def test_sums_are_right_and_of_the_asked_length() -> None:
    task = build_task(sums())
    assert (len(task.train), len(task.eval)) == (300, 64)
    for question in [*task.train, *task.eval]:
        terms = [int(term) for term in question.text.split("+")]
        assert 3 <= len(terms) <= 5 and all(1 <= term <= 9 for term in terms)
        assert question.answer == str(sum(terms))
    assert [question.index for question in task.train] == list(range(300))


def test_no_held_out_question_is_trained_on() -> None:
    task = build_task(sums())
    assert not {q.text for q in task.train} & {q.text for q in task.eval}


def test_the_same_seed_gives_the_same_questions_and_another_seed_others() -> None:
    first, again, other = build_task(sums()), build_task(sums()), build_task(sums(seed=1))
    assert first == again and first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != other.fingerprint()


def test_more_training_questions_leave_the_held_out_ones_alone() -> None:
    assert build_task(sums()).eval == build_task(sums(train_size=400)).eval


@pytest.mark.parametrize(
    "changed",
    [{"min_terms": 1}, {"max_terms": 2}, {"train_size": 0}, {"eval_size": 0}, {"seed": -1}],
)
def test_impossible_sums_are_refused(changed: dict[str, int]) -> None:
    assert len(check_task(sums(**changed))) == 1


def test_more_questions_than_there_are_is_refused_instead_of_searched_for() -> None:
    (problem,) = check_task(sums(max_terms=3, train_size=700))
    assert "729" in problem.expected


def test_exactly_one_task() -> None:
    jsonl = JsonlConfig("a", "b", "question", "answer", None)
    assert check_task(TaskConfig(verifier="exact"))
    assert check_task(TaskConfig(verifier="exact", chain_sums=SUMS, jsonl=jsonl))
    with pytest.raises(UserError):
        build_task(TaskConfig(verifier="exact"))


def test_questions_from_files(tmp_path: Path) -> None:
    train = lines(tmp_path / "train.jsonl", row("1+1?", 2), row("{solution} \\boxed{é}", "é"))
    held_out = lines(tmp_path / "eval.jsonl", row("a", "b"), row("c", 0.5))
    task = build_task(own(train, held_out, eval_size=1))
    assert [(q.text, q.answer) for q in task.train] == [
        ("1+1?", "2"),
        ("{solution} \\boxed{é}", "é"),
    ]
    assert [(q.text, q.answer) for q in task.eval] == [("a", "b")]
    assert task.verifier == "math"


def test_every_bad_row_is_named_with_its_number_and_field(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    train.write_bytes(
        b'{"question": "ok", "answer": "1"}\n'
        b'{"question": "no answer"}\n'
        b"\n"
        b"not json\n"
        b"[1, 2]\n"
        b'{"question": "", "answer": "1"}\n'
        b'{"question": "x", "answer": true}\n'
        b'{"question": "\xff", "answer": "1"}\n'
        b'{"question": "x", "answer": NaN}\n'
    )
    held_out = lines(tmp_path / "eval.jsonl", row("a", "b"))
    problems = check_task(own(str(train), held_out))
    numbers = [int(problem.where.rpartition(" ")[2]) for problem in problems]
    assert numbers == [2, 4, 5, 6, 7, 8, 9]
    assert "answer" in problems[0].expected and "question" in problems[3].expected
    with pytest.raises(UserError) as caught:
        build_task(own(str(train), held_out))
    assert len(caught.value.problems) == 7


def test_hundreds_of_bad_rows_are_cut_short(tmp_path: Path) -> None:
    train = lines(tmp_path / "train.jsonl", *[{"q": 1}] * 500)
    problems = check_task(own(train, lines(tmp_path / "eval.jsonl", row("a", "b"))))
    assert len(problems) == 20


@pytest.mark.parametrize("content", [None, ""], ids=["missing", "empty"])
def test_a_missing_or_empty_file_is_refused(tmp_path: Path, content: str | None) -> None:
    train = tmp_path / "train.jsonl"
    if content is not None:
        train.write_text(content)
    held_out = lines(tmp_path / "eval.jsonl", row("a", "b"))
    (problem,) = check_task(own(str(train), held_out))
    assert "train" in problem.where + problem.got


def test_a_held_out_question_among_the_training_ones_is_refused(tmp_path: Path) -> None:
    train = lines(tmp_path / "train.jsonl", row("a", "1"), row("b", "2"))
    held_out = lines(tmp_path / "eval.jsonl", row("b", "2"))
    (problem,) = check_task(own(train, held_out))
    assert "'b'" in problem.got
