"""The one exception that reaches a user as a message instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input: where, what was got, what was expected, what to type."""

    where: str
    got: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}\n  got       {self.got}\n  expected  {self.expected}\n  fix       {self.fix}"


class UserError(Exception):
    """Bad input. The command line prints every problem at once and exits with code 2."""

    def __init__(self, *problems: Problem):
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Collapse(UserError):
    """A run has ended itself before its budget, as going on would teach nothing. Exit code 1."""


def unknown(where: str, got: str, known: Iterable[str], prefix: str = "") -> Problem:
    """A name that isn't one of `known`, with the nearest one; `prefix` makes it typeable."""
    known = list(known)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.6)
    fix = f"did you mean {prefix}{near[0]}?" if near else f"{prefix}{known[0]}, for example"
    return Problem(where, got, f"one of {', '.join(known)}", fix)
