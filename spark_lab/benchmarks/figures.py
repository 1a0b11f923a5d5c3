"""A number and the 95 % interval that its questions allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Figure(NamedTuple):
    """`count` independent questions are behind it. No interval where there is nothing to vary."""

    value: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Measured:
    """What was found on a benchmark. `rows` are the rollouts behind the figures; `tokens` is a mean a
    question by what was done for it."""

    figures: dict[str, Figure]
    rows: list[dict[str, Any]]
    tokens: dict[str, float]


def share(hits: Sequence[float]) -> Figure:
    """Of right answers, each 0 or 1, to different questions (Wilson 1927)."""
    return _wilson(fmean(hits), len(hits))


def mean(values: Sequence[float]) -> Figure:
    """Of one number from 0 to 1 a question: a t interval. Where all are equal, as wide as for one
    answer each, since equal means of few samples are no knowledge."""
    if len(values) < 2 or np.ptp(values) == 0:
        return _wilson(fmean(values), len(values))
    return _clipped(_t(values), 0.0, 1.0)


def difference(after: Sequence[float], before: Sequence[float]) -> Figure:
    """Mean difference of two numbers of the same questions: a paired t interval."""
    changes = [b - a for a, b in zip(before, after, strict=True)]
    if len(changes) < 2 or np.ptp(changes) == 0:
        return Figure(fmean(changes), None, None, len(changes))
    return _clipped(_t(changes), -1.0, 1.0)


def clustered(values: Sequence[float], units: Sequence[str]) -> Figure:
    """Of one number from 0 to 1 a question, where questions of one unit stand or fall together."""
    sums: dict[str, float] = {}
    middle = fmean(values)
    for value, unit in zip(values, units, strict=True):
        sums[unit] = sums.get(unit, 0.0) + value - middle
    if len(sums) < 2 or not any(sums.values()):
        return _wilson(middle, len(sums))
    square = sum(one**2 for one in sums.values()) * len(sums) / (len(sums) - 1)
    return _clipped(_around(middle, square / len(values) ** 2, len(sums)), 0.0, 1.0)


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> Figure:
    """Of two sums over the same questions, by linearisation (Cochran 1977, section 2.11)."""
    count, below = len(tops), fmean(bottoms)
    if not below:
        return Figure(0.0, None, None, count)
    value = fmean(tops) / below
    rest = [(top - value * bottom) / below for top, bottom in zip(tops, bottoms, strict=True)]
    variance = sum(one**2 for one in rest) / max(1, count - 1) / count
    if not variance:
        return Figure(value, None, None, count)
    return _clipped(_around(value, variance, count), 0.0, 1.0)


def jackknife(units: Sequence, statistic: Callable[[Sequence], float]) -> Figure:
    """Of any smooth statistic of independent units, by leaving out one at a time (Tukey 1958)."""
    value, count = statistic(units), len(units)
    if count < 3:
        return Figure(value, None, None, count)
    without = np.array([statistic([*units[:i], *units[i + 1 :]]) for i in range(count)])
    variance = (count - 1) / count * ((without - without.mean()) ** 2).sum()
    if not variance:
        return Figure(value, None, None, count)
    return _around(value, float(variance), count)


def average(figures: Sequence[Figure]) -> Figure:
    """The mean of independent figures, each weighing the same; either side of the interval from
    those sides of theirs."""
    value = fmean(one.value for one in figures)
    count = sum(one.count for one in figures)
    if any(one.low is None or one.high is None for one in figures):
        return Figure(value, None, None, count)
    below = sum((one.value - one.low) ** 2 for one in figures) ** 0.5 / len(figures)
    above = sum((one.high - one.value) ** 2 for one in figures) ** 0.5 / len(figures)
    return Figure(value, value - below, value + above, count)


def _z() -> float:
    return float(stats.norm.ppf((1 + CONFIDENCE) / 2))


def _around(value: float, variance: float, count: int) -> Figure:
    half = _z() * variance**0.5
    return Figure(value, value - half, value + half, count)


def _wilson(share: float, count: int) -> Figure:
    squared = _z() ** 2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = _z() * (share * (1 - share) / count + squared / (4 * count)) ** 0.5 / (1 + squared)
    return Figure(share, max(0.0, middle - half), min(1.0, middle + half), count)


def _t(values: Sequence[float]) -> Figure:
    middle, error = fmean(values), stats.sem(values)
    half = error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return Figure(middle, float(middle - half), float(middle + half), len(values))


def _clipped(figure: Figure, low: float, high: float) -> Figure:
    return figure._replace(low=max(low, figure.low), high=min(high, figure.high))
