"""Questions with verifiable answers. A task is one small file and one line in the table below."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spark_lab.errors import Problem, UserError
from spark_lab.records import Question
from spark_lab.schema import TaskConfig
from spark_lab.tasks import chain_sums, jsonl


@dataclass(frozen=True, slots=True)
class Task:
    """Training and held-out questions, without a text in common, and how answers are compared."""

    train: Sequence[Question]
    eval: Sequence[Question]
    verifier: str

    def fingerprint(self) -> str:
        """12 hex digits that change with any question, any answer, their order, or the verifier."""
        splits = [[[q.text, q.answer] for q in split] for split in (self.train, self.eval)]
        text = json.dumps([self.verifier, *splits])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


Split = tuple[list[Question], list[Question]]

# The slot's name in the configuration, how to load it, and how to check it before anything else.
TASKS: dict[str, tuple[Callable[..., Split], Callable[..., list[Problem]]]] = {
    "chain_sums": (chain_sums.load, chain_sums.check),
    "jsonl": (jsonl.load, jsonl.check),
}


def build_task(config: TaskConfig) -> Task:
    """The task of the one slot that is set. Raises UserError for bad settings or bad data."""
    slots = _slots(config)
    if len(slots) != 1:
        raise UserError(*check_task(config))
    load, _ = TASKS[slots[0]]
    train, held_out = load(getattr(config, slots[0]))
    return Task(train, held_out, config.verifier)


def check_task(config: TaskConfig) -> list[Problem]:
    """What is wrong with the task's settings and files; imports nothing heavy."""
    slots = _slots(config)
    if len(slots) != 1:
        got = ", ".join(slots) or "none"
        return [Problem("task", got, "exactly one of " + ", ".join(TASKS), "task=chain_sums")]
    _, check = TASKS[slots[0]]
    return check(getattr(config, slots[0]))


def _slots(config: TaskConfig) -> list[str]:
    return [name for name in TASKS if getattr(config, name) is not None]
