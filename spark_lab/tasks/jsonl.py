"""Questions of one's own: two JSONL files of objects with a question and an answer field."""

from __future__ import annotations

import json
from pathlib import Path

from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.schema import JsonlConfig

SHOWN_PROBLEMS = 20
UTF8_MARK = b"\xef\xbb\xbf"


def load(config: JsonlConfig) -> tuple[list[Question], list[Question]]:
    """Training and held-out questions. UserError names the first bad rows by number and field."""
    train, held_out, problems = _read_both(config)
    if problems:
        raise UserError(*problems)
    return train, held_out[: config.eval_size]


def check(config: JsonlConfig) -> list[Problem]:
    return _read_both(config)[2]


def _read_both(config: JsonlConfig) -> tuple[list[Question], list[Question], list[Problem]]:
    train, train_problems = _read(config.train_path, "train_path", config)
    held_out, eval_problems = _read(config.eval_path, "eval_path", config)
    problems = train_problems + eval_problems
    if config.eval_size is not None and config.eval_size < 1:
        got, fix = str(config.eval_size), "task.jsonl.eval_size=null for all of them"
        problems.append(Problem("task.jsonl.eval_size", got, "at least 1, or null", fix))
    shared = {question.text for question in train} & {question.text for question in held_out}
    if shared and not problems:
        problems.append(
            Problem(
                "task.jsonl",
                f"{len(shared)} questions in both files, such as {min(shared)[:60]!r}",
                "held-out questions that are not trained on",
                f"remove them from {config.train_path}",
            )
        )
    return train, held_out, problems[:SHOWN_PROBLEMS]


def _read(path: str, key: str, config: JsonlConfig) -> tuple[list[Question], list[Problem]]:
    try:
        lines = Path(path).expanduser().read_bytes().removeprefix(UTF8_MARK).split(b"\n")
    except OSError as error:
        got, fix = f"{path} ({error.strerror})", f"task.jsonl.{key}=PATH"
        return [], [Problem(f"task.jsonl.{key}", got, "a readable JSONL file", fix)]
    questions: list[Question] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found = _question(line, len(questions), f"{path}, line {number}", config)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            questions.append(found)
    if not questions and not problems:
        row = json.dumps({config.question_field: "1+1", config.answer_field: "2"})
        problems.append(Problem(path, "no rows", "one JSON object a line", f"rows like {row}"))
    return questions, problems


def _question(line: bytes, index: int, where: str, config: JsonlConfig) -> Question | Problem:
    expected = "one JSON object in UTF-8"
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Problem(where, f"{line[:60]!r} ({error})", expected, "correct the line")
    if not isinstance(row, dict):
        return Problem(where, f"{line[:60]!r}", expected, "correct the line")
    values = []
    for key in ("question_field", "answer_field"):
        field = getattr(config, key)
        value = row.get(field)
        if not _usable(value):
            shown = repr(value) if field in row else "nothing"
            got = f"{field}={shown}; its fields: {', '.join(map(repr, row))}"[:120]
            fix = f"task.jsonl.{key}=FIELD, or correct the line"
            return Problem(where, got, f"text or a number in the field {field!r}", fix)
        values.append(str(value))
    return Question(index, *values)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _usable(value: object) -> bool:
    """A number, or text that has content and is no half of a surrogate pair."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )
