"""The one extractor and the one verifier of answers and verdicts."""

from __future__ import annotations

from spark_lab.answers.equality import VERIFIERS, verify
from spark_lab.answers.extraction import extract_boxed, read_verdict
from spark_lab.records import Verdict

__all__ = ["VERIFIERS", "extract_boxed", "grade_answer", "grade_verdict", "read_verdict", "verify"]


def grade_answer(kind: str, text: str, gold: str) -> Verdict:
    """Reward 1 if the boxed answer of `text` equals `gold` by that kind of verifier, else 0."""
    answer = extract_boxed(text)
    return Verdict(float(verify(kind, answer, gold)), answer)


def grade_verdict(text: str, labels: tuple[str, str], gold: str) -> Verdict:
    """Reward 1 if the boxed verdict of `text` is the label `gold`, else 0."""
    verdict = read_verdict(text, labels)
    return Verdict(float(verdict == gold), verdict)
