"""The file of solutions that every later evaluation judges."""

from __future__ import annotations

import json

import pytest

from spark_lab.errors import UserError
from spark_lab.evaluation import judge_set
from spark_lab.evaluation.judge_set import JudgeEntry
from spark_lab.records import Group, Question, Rollout, Verdict

QUESTIONS = [
    Question(0, "1+2", "3"),
    Question(1, "2+2", "4"),
    Question(2, "{a} \u202e\n", "\\frac12"),
]
RIGHT = Rollout("\\boxed{3}", Verdict(1.0, "3"))
WRONG = Rollout("so \\boxed{5}", Verdict(0.0, "5"))
SILENT = Rollout("I don't know", Verdict(0.0, None))
ENTRIES = [
    JudgeEntry(QUESTIONS[0], RIGHT, WRONG),
    JudgeEntry(QUESTIONS[1], None, WRONG),
    JudgeEntry(QUESTIONS[2], None, None),
]


def test_the_first_right_and_the_first_wrong_one_with_an_answer_are_chosen():
    other = Rollout("\\boxed{6}", Verdict(0.0, "6"))
    group = Group(QUESTIONS[0], (SILENT, WRONG, RIGHT, other))
    assert judge_set.choose(group, "answer") == JudgeEntry(QUESTIONS[0], RIGHT, WRONG)
    assert judge_set.choose(group, "working").wrong == SILENT
    silent = Group(QUESTIONS[0], (SILENT,))
    assert judge_set.choose(silent, "answer") == JudgeEntry(QUESTIONS[0], None, None)


def test_write_then_read_gives_the_same_entries_and_no_other_file(tmp_path):
    path = tmp_path / "judge_set.jsonl"
    judge_set.write(path, ENTRIES)
    assert judge_set.read(path, QUESTIONS) == ENTRIES
    assert list(tmp_path.iterdir()) == [path]
    once = path.read_bytes()
    judge_set.write(path, ENTRIES)
    assert path.read_bytes() == once


def rewrite(change):
    def damage(text: str) -> str:
        rows = [json.loads(line) for line in text.splitlines()]
        change(rows)
        return "".join(json.dumps(row) + "\n" for row in rows)

    return damage


DAMAGES = {
    "empty": lambda text: "",
    "torn": lambda text: text[:-9],
    "a line lost": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "a line twice": lambda text: text + text.splitlines(keepends=True)[-1],
    "not JSON": lambda text: text.replace('"right"', "right", 1),
    "another file": lambda text: '{"step": 1}\n' * 4,
    "another question": rewrite(lambda rows: rows[1].update(text="9+9")),
    "another answer": rewrite(lambda rows: rows[2].update(answer="5")),
    "another order": rewrite(lambda rows: rows.insert(1, rows.pop(2))),
    "a field lost": rewrite(lambda rows: rows[1].pop("wrong")),
    "a solution without text": rewrite(lambda rows: rows[1]["wrong"].pop("text")),
    "a list for a solution": rewrite(lambda rows: rows[1].update(right=[])),
    "a number for an answer": rewrite(lambda rows: rows[1]["right"].update(answer=3)),
    "a right solution without answer": rewrite(lambda rows: rows[1]["right"].update(answer=None)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / "judge_set.jsonl"
    judge_set.write(path, ENTRIES)
    damaged = damage(path.read_text(encoding="utf-8"))
    path.write_text(damaged, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        judge_set.read(path, QUESTIONS)
    problem = raised.value.problems[0]
    assert str(path) in problem.where and "force=true" in problem.fix
    assert path.read_text(encoding="utf-8") == damaged


def test_every_damaged_line_is_named_at_once(tmp_path):
    path = tmp_path / "judge_set.jsonl"
    judge_set.write(path, ENTRIES)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], "{", lines[2], "[]"]), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        judge_set.read(path, QUESTIONS)
    assert [problem.where for problem in raised.value.problems] == [
        f"{path}, line 2",
        f"{path}, line 4",
    ]


def test_a_missing_and_an_undecodable_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        judge_set.read(tmp_path / "nowhere.jsonl", QUESTIONS)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="JSON lines"):
        judge_set.read(binary, QUESTIONS)
