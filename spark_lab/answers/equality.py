"""Whether an answer equals the gold answer: exact, as a number, as a choice, as an expression."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from spark_lab.answers import symbolic
from spark_lab.answers.extraction import unwrap, visible
from spark_lab.answers.numbers import equal, read_number, within

# The letter of a multiple choice: b, (b), b), "b. 97", "(b) 97", "b: the second".
_CHOICE = re.compile(r"\(?([a-z])(?:\)|[).:]+(\s.*))?")
# The same in more words: "the answer is b", "option (b)", "b, as 2 is even", "[b]", "b - 97".
_CHOSEN = re.compile(
    r"(?:(?:the |my )?(?:correct |final |best )?(?:answer|option|choice)(?: is)?:? )?[(\[]?([a-z])"
    r"(?:[)\].:,;]+(?P<rest>\s.*)?|\s+[-\u2013\u2014]\s(?P<more>.*))?"
)
_LONE = re.compile(r"(?:and |or |& )?[(\[]?[a-z][)\].]*")
# Several letters that are right together: "A, c", "(A) and (C)"; run together in capitals only.
_SEVERAL = re.compile(
    r"[(\[]?[A-Za-z][)\]]?(?:(?:\s*[,;&/]\s*|\s+)(?:and\s+)?[(\[]?[A-Za-z][)\]]?)+|[A-H]{2,8}"
)
_AND = re.compile(r"\band\b|[^A-Za-z]")


def exact(answer: str, gold: str) -> bool:
    given, wanted = plain(answer), plain(gold)
    choice = _CHOICE.fullmatch(wanted)
    if choice is not None and choice[2] is None:
        chosen = _CHOICE.fullmatch(given)
        return chosen is not None and chosen[1] == choice[1]
    return wanted != "" and given == wanted


def plain(text: str) -> str:
    text = unwrap(visible(unicodedata.normalize("NFC", text)).replace("$", ""))
    return " ".join(text.split()).removesuffix(".").strip().casefold()


def numeric(answer: str, gold: str) -> bool:
    given, wanted = read_number(answer), read_number(gold)
    return given is not None and wanted is not None and equal(given, wanted)


def close(answer: str, gold: str, tolerance: Fraction) -> bool:
    given, wanted = read_number(answer), read_number(gold)
    return given is not None and wanted is not None and within(given, wanted, tolerance)


def near(answer: str, gold: str, room: Fraction) -> bool:
    given, wanted = read_number(answer), read_number(gold)
    return given is not None and wanted is not None and abs(given.value - wanted.value) <= room


def choice(answer: str, gold: str) -> bool:
    """`gold` is a letter, a letter and its option's text, or several letters: "B", "B. 97", "A, C".

    The letter decides wherever one is chosen, so "B. 98" is B; two letters ("A or B", "A, B") choose
    neither. Without a letter the text of the right option counts, as a text or as a number. Of
    several letters all have to be named, in any order, and no others.
    """
    together = _letters(gold)
    if together:
        return _letters(answer) == together
    wanted = _CHOICE.fullmatch(plain(gold))
    if wanted is None:
        return False
    text = (wanted[2] or "").strip()
    given = plain(answer).strip("*'\"` ").removesuffix(".")
    chosen = _CHOSEN.fullmatch(given)
    if chosen is None:
        return text != "" and (given == text or numeric(given, text))
    rest = (chosen["rest"] or chosen["more"] or "").strip()
    if rest and rest != text and _LONE.fullmatch(rest):
        return False
    return chosen[1] == wanted[1]


def _letters(text: str) -> set[str]:
    """Those of an answer that is nothing but two or more of them; none of any other."""
    text = unwrap(visible(text)).replace("$", "").strip().removesuffix(".")
    return set(_AND.sub("", text).casefold()) if _SEVERAL.fullmatch(text) else set()


def math(answer: str, gold: str) -> bool:
    if exact(answer, gold):
        return True
    given, wanted = read_number(answer), read_number(gold)
    if given is not None and wanted is not None:
        return equal(given, wanted)
    return symbolic.same(answer, gold)


def regex(answer: str, gold: str) -> bool:
    """The regular expression `gold` matches the whole answer (case counts, outer spaces don't)."""
    return symbolic.matches(visible(answer).strip(), gold)
