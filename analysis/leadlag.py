"""Does the judge improve before the policy does, or after it?

Cross-correlation of the increments of two learning curves. Both curves rise and flatten, which
alone would correlate them at every lag; so each evaluation's mean over the seeds is taken out and
what remains is compared with itself shifted in time: a circular shift keeps the memory within each
curve and breaks only the tie between them. One seed can't tell a trend from a tie and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_EVALUATIONS = 10


@dataclass(frozen=True, slots=True)
class LeadLag:
    """`correlation` [lags] at `lags` (in evaluations; positive: the judge moves first).

    |correlation| stays below `band` at every lag at once in 95 % of shifted worlds. `lead` is the
    mean correlation over positive lags minus that over negative ones; `p_lead` its two-sided
    p-value against the shifts.
    """

    lags: np.ndarray
    correlation: np.ndarray
    band: float
    lead: float
    p_lead: float
    n_runs: int


def lead_lag(
    policy: np.ndarray,
    judge: np.ndarray,
    rng: np.random.Generator,
    *,
    most_lag: int = 3,
    shifts: int = 2000,
    confidence: float = 0.95,
) -> LeadLag:
    """Lead-lag correlation of two metrics of the same runs, each [runs, evaluations].

    Each run is shifted on its own. Raises ValueError for different shapes, NaN, one run, or fewer
    than ten evaluations (or 2 `most_lag` + 4), where shifts are too few to say what chance does.
    """
    if policy.shape != judge.shape or policy.ndim != 2:
        raise ValueError(f"policy has shape {policy.shape}, judge {judge.shape}: expected one")
    if not (np.isfinite(policy).all() and np.isfinite(judge).all()):
        raise ValueError("a curve holds NaN: leave out evaluations that not every run has")
    if len(policy) < 2:
        raise ValueError("a lead-lag analysis needs two seeds to know the trend that they share")
    if policy.shape[1] < max(FEWEST_EVALUATIONS, 2 * most_lag + 4):
        raise ValueError(f"{policy.shape[1]} evaluations are too few for a lead-lag analysis")
    ahead, behind = _increments(judge), _increments(policy)
    length = ahead.shape[1]
    lags = np.arange(-most_lag, most_lag + 1)
    observed = _correlation(ahead, behind, lags)
    # Shifts shorter than the longest lag would leave the tie in sight of the other lags.
    offset = rng.integers(most_lag + 1, length - most_lag, size=(shifts, len(ahead)))
    index = (np.arange(length) - offset[:, :, None]) % length
    rotated = np.take_along_axis(np.broadcast_to(ahead, (shifts, *ahead.shape)), index, axis=2)
    # Taking out the shared trend ties the runs to one another; the shifted ones must be tied too.
    rotated = rotated - rotated.mean(axis=1, keepdims=True)
    chance = _correlation(rotated, behind, lags)
    lead, chance_lead = _lead(observed, lags), _lead(chance, lags)
    return LeadLag(
        lags=lags,
        correlation=observed,
        band=float(np.quantile(np.abs(chance).max(axis=-1), confidence)),
        lead=float(lead),
        p_lead=float((1 + (np.abs(chance_lead) >= abs(lead)).sum()) / (1 + shifts)),
        n_runs=len(policy),
    )


def _increments(curves: np.ndarray) -> np.ndarray:
    """Changes between evaluations without the trend that all runs share: [runs, evaluations - 1]."""
    steps = np.diff(curves, axis=1)
    return steps - steps.mean(axis=0)


def _correlation(ahead: np.ndarray, behind: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Correlation of ahead[t] with behind[t + lag], mean over runs: [..., lags].

    `ahead` is [..., runs, time], `behind` [runs, time]. A run that does not vary counts as 0.
    """
    ahead, behind = _standardised(ahead), _standardised(behind)
    length = behind.shape[-1]
    columns = []
    for lag in lags:
        early = ahead[..., : length - lag] if lag >= 0 else ahead[..., -lag:]
        late = behind[..., lag:] if lag >= 0 else behind[..., : length + lag]
        columns.append((early * late).sum(axis=-1).mean(axis=-1) / length)
    return np.stack(columns, axis=-1)


def _standardised(series: np.ndarray) -> np.ndarray:
    centred = series - series.mean(axis=-1, keepdims=True)
    deviation = centred.std(axis=-1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12)


def _lead(correlation: np.ndarray, lags: np.ndarray) -> np.ndarray:
    return correlation[..., lags > 0].mean(axis=-1) - correlation[..., lags < 0].mean(axis=-1)
