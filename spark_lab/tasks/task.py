"""A task: questions with verifiable answers, and what compares them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from spark_lab import answers
from spark_lab.records import Question


@dataclass(frozen=True, slots=True)
class Task:
    """Training and held-out questions, without a text in common, and how answers are compared.

    `counts` says what became of the rows of a data set, in words that can be shown: "train", "eval",
    and where there are any "train rows skipped", "repeated in training", "taken out of training".
    """

    train: Sequence[Question]
    eval: Sequence[Question]
    verifier: str
    counts: dict[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """12 hex digits that change with any question, image, answer, their order, or the verifier."""
        splits = [[_told(question) for question in split] for split in (self.train, self.eval)]
        text = json.dumps([answers.fingerprint(self.verifier), *splits])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _told(question: Question) -> list[str | None]:
    images = [picture.fingerprint for picture in question.images]
    return [question.text, question.answer, *images]
