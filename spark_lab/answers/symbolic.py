"""Comparisons that a helper process makes within a time limit (`answers.helper`)."""

from __future__ import annotations

from functools import lru_cache

from spark_lab.answers.helper import HELPERS


@lru_cache(maxsize=4096)  # the rollouts of a group often agree
def same(answer: str, gold: str) -> bool:
    """Whether the two are the same expression; False if that can't be told in time.

    Not symmetric: of a gold answer "5" the equation "x = 5" is accepted. Comma-separated values
    are compared as a set. Raises UserError if math-verify can't be imported.
    """
    return HELPERS["math"].ask(answer, gold)


@lru_cache(maxsize=4096)
def matches(answer: str, pattern: str) -> bool:
    """Whether the regular expression matches the whole answer; False if it takes too long."""
    return HELPERS["regex"].ask(answer, pattern)


@lru_cache(maxsize=4096)
def scored(answer: str, generator: str, number: str) -> bool:
    """Whether a generator's own scorer gives full marks (`tasks.reasoning_gym`)."""
    return HELPERS["reasoning_gym"].ask(answer, generator, number)
