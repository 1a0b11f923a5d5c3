"""Does a judge that says "80 % sure" turn out right in 80 % of the cases?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest


@dataclass(frozen=True, slots=True)
class Reliability:
    """Equal-width bins of the stated probability: arrays [bins], NaN in an empty bin.

    `stated` is the mean probability, `observed` the share that came true with its 95 % Wilson
    interval `low`..`high` (items as if independent). `ece` is the expected calibration error (Guo
    et al., ICML 2017), the mean |stated - observed| weighted by count; `brier` the mean squared error.
    """

    edges: np.ndarray
    count: np.ndarray
    stated: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ece: float
    brier: float


def reliability(probability: np.ndarray, came_true: np.ndarray, bins: int = 10) -> Reliability:
    """Bin `probability` [items] in 0..1 against the outcomes `came_true` [items].

    Raises ValueError for no items, different lengths, or probabilities outside 0..1.
    """
    probability, came_true = np.asarray(probability, float), np.asarray(came_true, bool)
    if not len(probability) == len(came_true) > 0:
        raise ValueError("calibration needs a probability and an outcome for every item")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    hits = np.bincount(index, weights=came_true, minlength=bins)
    empty = np.full(bins, np.nan)
    stated = np.divide(
        np.bincount(index, weights=probability, minlength=bins),
        count,
        out=empty.copy(),
        where=count > 0,
    )
    observed = np.divide(hits, count, out=empty.copy(), where=count > 0)
    low, high = empty.copy(), empty.copy()
    for filled in np.flatnonzero(count):
        wilson = binomtest(int(hits[filled]), int(count[filled])).proportion_ci(method="wilson")
        low[filled], high[filled] = wilson.low, wilson.high
    return Reliability(
        edges=edges,
        count=count,
        stated=stated,
        observed=observed,
        low=low,
        high=high,
        ece=float(np.nansum(count * np.abs(stated - observed)) / count.sum()),
        brier=float(((probability - came_true) ** 2).mean()),
    )
