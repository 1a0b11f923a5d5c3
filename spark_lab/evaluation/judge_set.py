"""The solutions that a judge is shown: a right and a wrong one of each question, where there are.

The fixed set is made once, from the answers of the starting model, and read from its file ever
after, so its judge metrics compare over time and between arms. A live set is made the same way from
the current model's own answers at every evaluation.

File: one JSON object a line. The first says how many questions follow, each of the others holds a
question ("index", "text", "answer", and "images" by their fingerprints where it has any) and its
"right" and "wrong" solution ({"text", "answer"}, or null where there is none).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_lab.errors import Problem, UserError
from spark_lab.records import Group, Question, Rollout, Verdict

_FORMAT = "spark-lab judge set 1"
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class JudgeEntry:
    """A question with the first right and the first wrong of its sampled solutions."""

    question: Question
    right: Rollout | None
    wrong: Rollout | None


def choose(group: Group, material: str) -> JudgeEntry:
    """Of the solutions that can be shown: a wrong one without an answer can't be judged by it."""
    return JudgeEntry(group.question, _first(group.right, material), _first(group.wrong, material))


def _first(rollouts: Sequence[Rollout], material: str) -> Rollout | None:
    return next((rollout for rollout in rollouts if rollout.showable(material)), None)


def write(path: Path, entries: Sequence[JudgeEntry]) -> None:
    """Replaces the file in one move, so that it exists whole or not at all."""
    rows: list[dict[str, Any]] = [{"format": _FORMAT, "questions": len(entries)}]
    rows += [
        _asked(entry.question) | {"right": _solution(entry.right), "wrong": _solution(entry.wrong)}
        for entry in entries
    ]
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _asked(question: Question) -> dict[str, Any]:
    asked = {"index": question.index, "text": question.text, "answer": question.answer}
    images = [picture.fingerprint for picture in question.images]
    return asked | {"images": images} if images else asked


def _solution(rollout: Rollout | None) -> dict[str, str | None] | None:
    return rollout and {"text": rollout.text, "answer": rollout.verdict.answer}


def read(path: Path, questions: Sequence[Question]) -> list[JudgeEntry]:
    """The entries of the file. UserError unless they are whole and of exactly these questions."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(_problem(path, "no such file", "the starting model's judge set")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_problem(path, str(error), "a readable file of JSON lines")) from None
    rows = [_parse(line) for line in lines]
    expected = {"format": _FORMAT, "questions": len(questions)}
    if not rows or rows[0] != expected:
        got = lines[0][:80] if lines else "an empty file"
        raise UserError(_problem(path, got, json.dumps(expected) + " as its first line"))
    if len(rows) - 1 != len(questions):
        problem = _problem(path, f"{len(rows) - 1} entries", f"{len(questions)} entries")
        raise UserError(problem)
    entries, problems = [], []
    for number, (row, question) in enumerate(zip(rows[1:], questions, strict=True), start=2):
        entry = _entry(row, question)
        if isinstance(entry, JudgeEntry):
            entries.append(entry)
        else:
            problems.append(_problem(f"{path}, line {number}", *entry))
    if problems:
        raise UserError(*problems[:_MOST_PROBLEMS])
    return entries


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _entry(row: Any, question: Question) -> JudgeEntry | tuple[str, str]:
    """The entry, or what was got and what was expected."""
    asked = _asked(question)
    if not isinstance(row, dict) or set(row) != {*asked, "right", "wrong"}:
        return "not an entry", f"a JSON object with {', '.join(asked)}, right and wrong"
    if any(row[key] != value for key, value in asked.items()):
        return f"question {row['text']!r}", f"question {question.text!r} of the task"
    solutions = [row["right"], row["wrong"]]
    if not all(solution is None or _is_solution(solution) for solution in solutions):
        return "a solution of another shape", 'null or {"text": ..., "answer": ...}'
    right, wrong = (
        solution and Rollout(solution["text"], Verdict(reward, solution["answer"]))
        for solution, reward in zip(solutions, (1.0, 0.0), strict=True)
    )
    return JudgeEntry(question, right, wrong)


def _is_solution(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"text", "answer"}
        and isinstance(value["text"], str)
        and isinstance(value["answer"], str)
    )


def _problem(where: Path | str, got: str, expected: str) -> Problem:
    # Only the starting model can make it again, and every judge metric of the run rests on it.
    fix = "put the file back as it was, or start the run over with force=true"
    return Problem(str(where), got, expected, fix)
