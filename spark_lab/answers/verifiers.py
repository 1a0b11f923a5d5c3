r"""The verifiers by name, and what has to be right before one is used.

A verifier is chosen by one text, ``task.verifier``, that goes unchanged to everything that grades:

| text | an answer is right if it is |
|---|---|
| exact | the same text up to whitespace, case, text wrappers, dollar signs and a full stop |
| numeric | the same number, within 1e-6 where one is a decimal (`answers.numbers`) |
| numeric:0.01 | a number within 0.01 times the true one (within 0.01 of a true 0) |
| within:0.001 | a number that differs from the true one by at most 0.001 |
| choice | the letter of the right option, or its text; all of several (`answers.equality.choice`) |
| math | exact, numeric, or the same expression by math-verify |
| regex | matched as a whole by the true answer, which is a regular expression |
| function:MODULE.NAME | what your function NAME(answer, gold) returns True for (`answers.own`) |
| reasoning_gym:... | given full marks by the generator's own scorer (`tasks.reasoning_gym`) |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from spark_lab.answers import equality, own, symbolic
from spark_lab.errors import Problem, unknown

# Longer answers are wrong unread: no gold answer is that long, and reading them costs time.
LONGEST_ANSWER = 2_000

_PLAIN: dict[str, Callable[[str, str], bool]] = {
    "exact": equality.exact,
    "numeric": equality.numeric,
    "choice": equality.choice,
    "math": equality.math,
    "regex": equality.regex,
}
# Those that go with any question; reasoning_gym belongs to the task of that name.
VERIFIERS = tuple(_PLAIN)
_TOLERANCE = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:e-\d{1,2})?")


def verify(verifier: str, answer: str | None, gold: str) -> bool:
    """Whether `answer` is right by that verifier, after less than half a second of processor time
    whatever the text.

    (Your own function takes as long as it takes; a generator's own scorer has four seconds.) The
    first comparison that needs a helper process also starts it (about 0.7 s, once), and raises
    UserError if that fails. So does your own function where it raises.
    """
    if answer is None or max(len(answer), len(gold)) > LONGEST_ANSWER:
        return False
    kind, _, argument = verifier.partition(":")
    if kind == "function":
        return own.verify(argument, answer, gold)
    if kind == "reasoning_gym":
        return symbolic.scored(answer, argument, gold.partition(":")[0])
    if kind == "within":
        return equality.near(answer, gold, Fraction(argument))
    if argument:
        return equality.close(answer, gold, Fraction(argument))
    return _PLAIN[kind](answer, gold)


def alike(verifier: str, first: str, second: str) -> bool:
    """Whether two answers of a model are the same one. Neither is true, so neither is a pattern, a
    question's reference or an argument that your function was promised: there the texts decide."""
    if verifier.partition(":")[0] in ("regex", "function", "reasoning_gym"):
        return equality.exact(first, second)
    return verify(verifier, first, second)


def unfit(verifier: str, gold: str) -> str | None:
    """Why a gold answer can't be used with that verifier; None where it can."""
    if len(gold) > LONGEST_ANSWER:
        return f"longer than {LONGEST_ANSWER} characters"
    if verifier == "regex":
        try:
            re.compile(gold)
        except (re.error, RecursionError, OverflowError) as error:
            return f"no regular expression: {error}"
        return None
    if verifier.startswith("function:"):
        return own.unfit(verifier.partition(":")[2], gold)
    if verify(verifier, gold, gold):
        return None
    needed = {
        "numeric": "a number",
        "within": "a number",
        "choice": "the letter of an option",
    }
    return f"not {needed.get(verifier.partition(':')[0], 'an answer')}"


def check(verifier: str) -> list[Problem]:
    """What is wrong with a verifier's name. A function of yours is imported and tried out."""
    kind, colon, argument = verifier.partition(":")
    key = "task.verifier"
    if kind == "function":
        return own.check(argument)
    if kind == "within" or (kind == "numeric" and colon):
        below = 1 if kind == "numeric" else float("inf")
        if _TOLERANCE.fullmatch(argument) and 0 < Fraction(argument) < below:
            return []
        expected = "a tolerance between 0 and 1" if kind == "numeric" else "a number above 0"
        return [Problem(key, verifier, expected, f"{key}={kind}:0.01")]
    if verifier not in (*VERIFIERS, "reasoning_gym"):
        known = (*VERIFIERS, "numeric:TOLERANCE", "within:TOLERANCE", "function:MODULE.NAME")
        return [unknown(key, verifier, known, f"{key}=")]
    return []


def fingerprint(verifier: str) -> str:
    """The verifier's text, and what your function's file holds: either changes what is right."""
    kind, _, argument = verifier.partition(":")
    return f"{verifier} {own.digest(argument)}" if kind == "function" else verifier
