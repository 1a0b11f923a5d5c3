"""Which arms are beaten by no other arm in every respect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto_front(
    points: np.ndarray, larger_is_better: Sequence[bool], slack: float = 0.0
) -> np.ndarray:
    """True [arms] for each row of `points` [arms, measures] that no other row dominates.

    A row dominates another if it is at least as good in every measure and better in one; equal rows
    are both on the front. Costs (where less is better) that differ by no more than the share `slack`
    are equal. Raises ValueError where the measures don't match or NaN occurs.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != len(larger_is_better):
        raise ValueError(f"{len(larger_is_better)} measures for points of shape {points.shape}")
    if np.isnan(points).any():
        raise ValueError("a point holds NaN: leave out arms without that measure")
    signed = np.where(larger_is_better, points, -points)
    margin = np.where(larger_is_better, 0.0, slack) * np.abs(points)
    better = (signed[:, None] - signed[None, :] > margin[None, :]).any(axis=2)
    return ~(better & ~better.T).any(axis=0)
