"""The one exception that reaches a user as a message instead of a traceback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input: where, what was got, what was expected, what to type."""

    where: str
    got: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return (
            f"{self.where}\n  got       {self.got}\n  expected  {self.expected}\n  fix       {self.fix}"
        )


class UserError(Exception):
    """Bad input. The command line prints every problem at once and exits with code 2."""

    def __init__(self, *problems: Problem):
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
