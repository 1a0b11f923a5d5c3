"""What training one objective does to the other skills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spark_lab.analysis.stats import Contrast


@dataclass(frozen=True, slots=True)
class TransferMatrix:
    """Rows are arms (what was trained), columns are metrics (what was examined).

    `difference` [arms, metrics] to the baseline, `separable` [arms, metrics] after correction; a
    cell that was not measured is NaN and False.
    """

    baseline: str
    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    difference: np.ndarray
    separable: np.ndarray


def transfer_matrix(contrasts: Sequence[Contrast]) -> TransferMatrix:
    """Arrange contrasts against one baseline, in the order in which arms and metrics appear.

    Raises ValueError for several baselines, none, or the same cell twice.
    """
    baselines = {contrast.pairs.baseline for contrast in contrasts}
    if len(baselines) != 1:
        raise ValueError(f"a transfer matrix has one baseline, got {sorted(baselines) or 'none'}")
    arms = tuple(dict.fromkeys(contrast.pairs.arm for contrast in contrasts))
    metrics = tuple(dict.fromkeys(contrast.pairs.metric for contrast in contrasts))
    difference = np.full((len(arms), len(metrics)), np.nan)
    separable = np.zeros(difference.shape, bool)
    for contrast in contrasts:
        cell = arms.index(contrast.pairs.arm), metrics.index(contrast.pairs.metric)
        if np.isfinite(difference[cell]):
            raise ValueError(f"{contrast.pairs.arm} has {contrast.pairs.metric} twice")
        difference[cell] = contrast.estimate.mean
        separable[cell] = contrast.outcome in ("better", "worse")
    return TransferMatrix(baselines.pop(), arms, metrics, difference, separable)
