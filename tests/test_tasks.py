from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from known_data import SPARK_DATA, SPARK_IMAGE, jsonl, overrides, parquet_file

from spark_lab.config import compose
from spark_lab.errors import UserError
from spark_lab.schema import ChainSumsConfig, TaskConfig
from spark_lab.tasks import Task, build_task, check_task

SUMS = ChainSumsConfig(min_terms=3, max_terms=5, train_size=300, eval_size=64, seed=0)


def sums(**changed: int) -> TaskConfig:
    return TaskConfig(verifier="exact", chain_sums=replace(SUMS, **changed))


def own(train: str, held_out: str | None, *more: str) -> Task:
    paths = [f"task.data.train_path={train}"]
    paths += [f"task.data.eval_path={held_out}"] if held_out else []
    return build_task(compose(["task=data", *paths, "trainer.prompts_per_window=1", *more]).task)


def row(question: object, answer: object) -> dict[str, object]:
    return {"question": question, "answer": answer}


def texts(questions) -> list[tuple[str, str]]:
    return [(question.text, question.answer) for question in questions]


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


def test_exactly_one_task(tmp_path: Path) -> None:
    data = compose(overrides("data", tmp_path)).task
    assert check_task(TaskConfig(verifier="exact"))
    assert check_task(replace(data, chain_sums=SUMS))
    with pytest.raises(UserError):
        build_task(TaskConfig(verifier="exact"))


def test_questions_from_files(tmp_path: Path) -> None:
    train = jsonl(tmp_path / "train.jsonl", row("1+1?", 2), row("{solution} \\boxed{é}", "é"))
    held_out = jsonl(tmp_path / "eval.jsonl", row("a", "b"), row("c", 0.5))
    task = own(train, held_out, "task.data.eval_size=1")
    assert texts(task.train) == [("1+1?", "2"), ("{solution} \\boxed{é}", "é")]
    assert texts(task.eval) == [("a", "b")]
    assert task.verifier == "math" and task.counts == {"train": 2, "eval": 1}


def test_the_same_rows_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [row("What, then,\nis 1+1?", "2"), row('Say "é"', "é")]
    files = [
        jsonl(tmp_path / "a.jsonl", *rows),
        parquet_file(tmp_path / "a.parquet", rows),
        str(tmp_path / "a.json"),
        str(tmp_path / "a.csv"),
        str(tmp_path / "a.tsv"),
    ]
    Path(files[2]).write_text(json.dumps(rows))
    for file, separator in zip(files[3:], ",\t", strict=True):
        lines = [separator.join(("question", "answer"))]
        lines += [
            separator.join('"' + str(value).replace('"', '""') + '"' for value in one.values())
            for one in rows
        ]
        Path(file).write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    held_out = jsonl(tmp_path / "eval.jsonl", row("a", "b"))
    prints = {own(file, held_out).fingerprint() for file in files}
    assert len(prints) == 1


def test_fields_inside_fields_and_choices(tmp_path: Path) -> None:
    rows = [
        {"x": {"q": "Which?"}, "a": "B", "options": ["one", "two"]},
        {"x": {"q": "And?"}, "a": "red", "options": {"A": "red", "B": "blue"}},
        {"x": {"q": "Last?"}, "a": "(c)", "options": '["u", "v", "w"]'},
    ]
    fields = ["task.data.question_field=x.q", "task.data.answer_field=a"]
    more = [*fields, "task.data.choices_field=options", "task.verifier=choice"]
    held_out = jsonl(tmp_path / "eval.jsonl", {"x": {"q": "?"}, "a": "A", "options": [1, 2]})
    task = own(jsonl(tmp_path / "t.jsonl", *rows), held_out, *more)
    assert texts(task.train)[0] == ("Which?\n\nA. one\nB. two", "B. two")
    assert [question.answer for question in task.train] == ["B. two", "A. red", "C. w"]
    by_index = jsonl(tmp_path / "i.jsonl", {"x": {"q": "!"}, "a": 1, "options": ["u", "v"]})
    ends = jsonl(tmp_path / "e.jsonl", {"x": {"q": "?"}, "a": 0, "options": ["u", "v"]})
    task = own(by_index, ends, *more, "task.data.answer_form=index")
    assert (task.train[0].answer, task.eval[0].answer) == ("B. v", "A. u")


KNOWN = {
    "gsm8k": (["72"], ["3,000"], "numeric"),
    "math": ([r"\frac{3}{4}", "2"], ["3"], "math"),
    "simplerl": (["(x-1)(x+1)"], ["1024"], "math"),
}


@pytest.mark.parametrize("option", KNOWN)
def test_known_data_sets_in_their_true_schema(option: str, tmp_path: Path) -> None:
    train, held_out, verifier = KNOWN[option]
    task = build_task(compose(overrides(option, tmp_path)).task)
    assert [question.answer for question in task.train] == train
    assert [question.answer for question in task.eval] == held_out
    assert task.verifier == verifier
    assert task.counts.get("taken out of training", 0) == (option == "simplerl")


def test_deepmath_holds_out_its_own(tmp_path: Path) -> None:
    task = build_task(compose(overrides("deepmath", tmp_path)).task)
    assert (len(task.train), len(task.eval)) == (4, 2)
    assert all(question.answer.startswith(r"\frac{1}{") for question in task.train)


def test_the_authors_messages_lose_their_instruction(tmp_path: Path) -> None:
    task = build_task(compose(overrides("spark_data", tmp_path)).task)
    assert {question.text for question in [*task.train, *task.eval]} == {
        f"What is {n} + {n}?" for n in range(1, 8)
    }


def test_held_out_questions_stay_held_out_when_rows_are_added(tmp_path: Path) -> None:
    rows = [row(f"{n}+{n}?", 2 * n) for n in range(40)]
    few = own(jsonl(tmp_path / "few.jsonl", *rows[:30]), None, "task.data.eval_size=8")
    again = own(jsonl(tmp_path / "again.jsonl", *rows[29::-1]), None, "task.data.eval_size=8")
    more = own(jsonl(tmp_path / "more.jsonl", *rows), None, "task.data.eval_size=8")
    assert (len(few.train), len(few.eval)) == (22, 8)
    assert texts(again.eval) == texts(few.eval)
    assert len(set(texts(more.eval)) & set(texts(few.eval))) >= 4
    assert not set(texts(few.train)) & set(texts(few.eval))


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps([SPARK_IMAGE, *SPARK_DATA, {"message": "none"}, SPARK_DATA[0]]))
    settings = ["task=spark_data", f"task.data.train_path={file}", "task.data.eval_size=1"]
    with pytest.raises(UserError, match="No such file"):
        compose(settings)
    settings += ["task.data.on_bad_row=skip", "trainer.prompts_per_window=2"]
    task = build_task(compose(settings).task)
    assert task.counts["train rows skipped"] == 2
    left = {"repeated in training", "taken out of training"} & task.counts.keys()
    assert len(left) == 1 and len(task.train) + len(task.eval) in (7, 8)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    held_out = jsonl(tmp_path / "eval.jsonl", row("a", "b"))
    first = own(jsonl(tmp_path / "t.jsonl", row("c", "d")), held_out)
    second = own(jsonl(tmp_path / "t.jsonl", row("c", "long")), held_out)
    assert first.fingerprint() != second.fingerprint()


def test_a_question_is_the_same_whatever_its_spaces(tmp_path: Path) -> None:
    train = jsonl(tmp_path / "t.jsonl", row("Solve  $x+1 = 2$", "1"), row("Solve x-1=2.", "3"))
    held_out = jsonl(tmp_path / "eval.jsonl", row(r"solve x + 1 \,= 2?", "1"))
    with pytest.raises(UserError, match=r"1 questions in both files, such as 'Solve  \$x\+1"):
        own(train, held_out)
    task = own(train, held_out, "task.data.on_overlap=skip")
    assert texts(task.train) == [("Solve x-1=2.", "3")]
    assert task.counts["taken out of training"] == 1
