r"""Plain numbers as exact fractions: nothing is evaluated, so no text can make it slow.

Read: integers, decimals, ``a/b``, ``\frac{a}{b}``, mixed numbers, a sign, thousands separators
(``1,234``, ``1{,}234``, ``1\,234``), ``$``, a currency sign, ``%``, a degree sign, a leading ``x =``,
a final full stop. Refused: exponents and powers (``1e9``, ``9^9^9``), decimal commas, units, sums.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from spark_lab.answers.extraction import unwrap, visible

TOLERANCE = Fraction(1, 10**6)

# 1,234 and 1{,}234 and 1\,234 and 1,\!234; a group that starts with 0 is a decimal comma.
_THIN_SPACE = re.compile(r"(?<=[0-9])\\,(?=[0-9]{3}(?![0-9]))|\\!")
_NOISE = re.compile(r"\\[,;:() \[\]]|\\?\$|[€£¥]|\^\s*\{?\s*\\circ\s*\}?|°")
_FRAC = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9]))")
_DECIMAL = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_NUMBER = re.compile(
    rf"(?:[A-Za-z]\s*=\s*)?(?P<sign>[+-]?)\s*"
    rf"(?:(?:(?P<whole>[0-9]+) +(?=[0-9]))?(?P<top>[+-]?(?:{_DECIMAL}))\s*/\s*(?P<bottom>[+-]?(?:{_DECIMAL}))"
    rf"|(?P<plain>{_DECIMAL}))\s*(?P<percent>\\?%)?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value; `decimal` if it was written with a decimal point, `percent` with a %."""

    value: Fraction
    decimal: bool
    percent: bool


def read_number(text: str) -> Number | None:
    """The number that the text is, or None if it is anything else."""
    text = unwrap(visible(text)).replace("{,}", ",").replace("\N{MINUS SIGN}", "-")
    text = _NOISE.sub(" ", _THIN_SPACE.sub("", text))
    text = _FRAC.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", text).strip()
    match = _NUMBER.fullmatch(text.removesuffix("."))
    if match is None:
        return None
    value = _value(match)
    if value is None:
        return None
    if match["sign"] == "-":
        value = -value
    return Number(value, "." in match[0], match["percent"] is not None)


def _value(match: re.Match[str]) -> Fraction | None:
    if match["plain"] is not None:
        return _fraction(match["plain"])
    top, bottom = _fraction(match["top"]), _fraction(match["bottom"])
    if bottom == 0:
        return None
    return _fraction(match["whole"] or "0") + top / bottom


def _fraction(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").removesuffix("."))


def equal(answer: Number, gold: Number) -> bool:
    """Equality: exact, or within 1e-6 (relative below 1) where one of them is a decimal.

    Where only one side carries a percent sign, it may mean "of a hundred" or the unit: 50% equals
    both 50 and 0.5.
    """
    if answer.percent == gold.percent:
        return _close(answer, gold, Fraction(1))
    percent, plain = (answer, gold) if answer.percent else (gold, answer)
    return _close(percent, plain, Fraction(1)) or _close(percent, plain, Fraction(1, 100))


def within(answer: Number, gold: Number, tolerance: Fraction) -> bool:
    """Within `tolerance` times the true value, or within `tolerance` of a true 0; a percent sign as
    in `equal`."""
    scales = [Fraction(1)]
    if answer.percent != gold.percent:
        scales.append(Fraction(1, 100) if answer.percent else Fraction(100))
    room = tolerance * (abs(gold.value) or 1)
    return any(abs(answer.value * scale - gold.value) <= room for scale in scales)


def _close(a: Number, b: Number, scale: Fraction) -> bool:
    x, y = a.value * scale, b.value
    if not (a.decimal or b.decimal):
        return x == y
    return abs(x - y) <= TOLERANCE * min(1, max(abs(x), abs(y)))
