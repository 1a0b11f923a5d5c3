"""Whether an answer equals the gold answer: exact, numeric or math."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from spark_lab.answers import symbolic
from spark_lab.answers.extraction import unwrap, visible
from spark_lab.answers.numbers import equal, read_number

# Longer answers are wrong unread: no gold answer is that long, and reading them costs time.
LONGEST_ANSWER = 2_000

# The letter of a multiple choice: b, (b), b), "b. 97", "(b) 97", "b: the second".
_CHOICE = re.compile(r"\(?([a-z])(?:\)|[).:]+(\s.*))?")


def verify(kind: str, answer: str | None, gold: str) -> bool:
    """Whether `answer` equals `gold`, in less than a second whatever the text.

    - exact: the same text up to whitespace, case, text wrappers, dollar signs and a full stop; of a
      gold answer that is one letter, "(B)", "B. 97" and "B: the second" are accepted too;
    - numeric: the same number (see `spark_lab.answers.numbers`); both have to be one;
    - math: exact or numeric or the same expression by math-verify (see `answers.symbolic`).

    `verify(kind, gold, gold)` tells whether the verifier can read a gold answer at all. The first
    comparison that needs math-verify also starts its helper process (about 0.7 s, once), and raises
    UserError if that fails.
    """
    if answer is None or max(len(answer), len(gold)) > LONGEST_ANSWER:
        return False
    return _VERIFIERS[kind](answer, gold)


def _exact(answer: str, gold: str) -> bool:
    given, wanted = _plain(answer), _plain(gold)
    choice = _CHOICE.fullmatch(wanted)
    if choice is not None and choice[2] is None:
        chosen = _CHOICE.fullmatch(given)
        return chosen is not None and chosen[1] == choice[1]
    return wanted != "" and given == wanted


def _plain(text: str) -> str:
    text = unwrap(visible(unicodedata.normalize("NFC", text)).replace("$", ""))
    return " ".join(text.split()).removesuffix(".").strip().casefold()


def _numeric(answer: str, gold: str) -> bool:
    given, wanted = read_number(answer), read_number(gold)
    return given is not None and wanted is not None and equal(given, wanted)


def _math(answer: str, gold: str) -> bool:
    if _exact(answer, gold):
        return True
    given, wanted = read_number(answer), read_number(gold)
    if given is not None and wanted is not None:
        return equal(given, wanted)
    return symbolic.same(answer, gold)


_VERIFIERS: dict[str, Callable[[str, str], bool]] = {
    "exact": _exact,
    "numeric": _numeric,
    "math": _math,
}
VERIFIERS = tuple(_VERIFIERS)
