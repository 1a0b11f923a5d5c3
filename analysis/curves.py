"""Curves of a metric over any compute axis: common grid, area, band over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True, slots=True)
class Band:
    """Mean over seeds with a pointwise interval, each [points]; `n` seeds are behind each point.

    `low` and `high` are NaN where fewer than two seeds got that far.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def on_grid(compute: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A run's `values` [evaluations] at the `grid` [points] of compute, linearly interpolated.

    NaN outside what the run covered: nothing is extrapolated. Raises ValueError where `compute`
    does not increase.
    """
    _increasing(compute)
    return np.interp(grid, compute, values, left=np.nan, right=np.nan)


def aligned(curves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Curves of runs that spent one budget, each [2, evaluations]: compute and values.

    Runs end at slightly different compute, since a window is not cut in two: all are stretched to
    their mean end, so that the last point of an arm is the mean of all its seeds' last ones. Runs
    with as many evaluations as one another share their mean compute at each.
    """
    if len({curve.shape[1] for curve in curves}) == 1:
        shared = np.mean([compute for compute, _ in curves], axis=0)
        return [np.stack([shared, values]) for _, values in curves]
    end = np.mean([compute[-1] for compute, _ in curves])
    # The end itself must not miss the grid by a rounding.
    stretched = [np.append(compute[:-1] * (end / compute[-1]), end) for compute, _ in curves]
    return [np.stack([x, values]) for x, (_, values) in zip(stretched, curves, strict=True)]


def area_under_curve(compute: np.ndarray, values: np.ndarray, until: float | None = None) -> float:
    """Mean height of a curve over compute: its trapezoid area divided by the compute it spans.

    `values` and `compute` are [evaluations]. `until` cuts the curve at the compute that all arms
    reached, so that areas of different arms span the same stretch. In the unit of `values`.

    Raises ValueError for fewer than two evaluations, compute that does not increase, or a run that
    ended before `until`.
    """
    _increasing(compute)
    end = compute[-1] if until is None else until
    if not compute[0] < end <= compute[-1]:
        raise ValueError(f"the curve spans {compute[0]:g} to {compute[-1]:g}, not up to {end:g}")
    inside = compute < end
    x = np.append(compute[inside], end)
    y = np.append(values[inside], np.interp(end, compute, values))
    return float(np.trapezoid(y, x) / (end - compute[0]))


def seed_band(curves: np.ndarray, confidence: float = 0.95) -> Band:
    """Mean and t interval over seeds at each point of `curves` [seeds, points]; NaN is missing.

    Of two seeds it is their range: their t interval is nine times as wide, and shows nothing.
    The band is about new seeds on the same questions, point by point; the verdict on the final
    checkpoint comes from `stats.compare`, never from two bands that do or don't overlap.
    """
    n = np.isfinite(curves).sum(axis=0)
    filled = np.where(np.isfinite(curves), curves, 0.0)
    mean = np.divide(filled.sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = np.where(np.isfinite(curves), (curves - mean) ** 2, 0.0).sum(axis=0)
    enough = n > 1
    freedom = np.where(enough, n - 1, 1)
    half = t.ppf((1 + confidence) / 2, freedom) * np.sqrt(squares / freedom / np.maximum(n, 1))
    half = np.where(n == 2, np.sqrt(squares / np.maximum(n, 1)), np.where(enough, half, np.nan))
    return Band(mean, mean - half, mean + half, n)


def _increasing(compute: np.ndarray) -> None:
    if len(compute) < 2 or (np.diff(compute) <= 0).any():
        raise ValueError("a curve needs at least two evaluations with increasing compute")
