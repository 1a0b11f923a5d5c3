"""What a comparison of this size could have seen: power, smallest detectable difference, seeds.

The variance that these rest on was itself estimated from a few seeds. Plugging it in as if it were
known promises too much: a "detectable with 80 %" difference is then found in 63 % of repeats at
three seeds. So the seeds' part is averaged over its fiducial distribution given the pilot,
var = estimate / (chi2[n-1] / (n-1)) ("assurance"; O'Hagan, Stevens & Campbell, Pharmaceutical
Statistics 4, 2005), which delivers exactly the promised 80 % where seeds are all the variance.
Where question sampling has a large part the average overshoots (87 %); blending the two by the
seeds' share of the standard error keeps the promise within 5 points over all shares at three seeds
and more (tests/benchmarks/bench_truth.py).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2

from spark_lab.analysis.intervals import NO_SPREAD, Spread, half_width

NODES = 120
MOST_SEEDS = 200


def power(effect: float, truth: Spread, alpha: float = 0.05) -> float:
    """P(the interval at level 1 - alpha leaves zero out) where the true difference is `effect`.

    `truth` holds the true parts of the variance of the mean for its own number of seeds and
    questions. The seeds' part is integrated over its chi-square, the questions' part has so many
    degrees of freedom that its estimate is taken as exact.
    """
    return _power(effect, np.array([truth.seeds]), truth, truth.n_seeds, alpha)


def expected_power(effect: float, pilot: Spread, n_seeds: int, alpha: float = 0.05) -> float:
    """Power of a new comparison with `n_seeds` seeds, given what `pilot` knows (module docstring).

    The new comparison uses as many questions as the pilot. Raises ValueError below two seeds or
    without any spread, where there is nothing to state power from.
    """
    if pilot.n_seeds < 2 or n_seeds < 2 or pilot.total < NO_SPREAD:
        raise ValueError("power needs two seeds, in the pilot and in the plan, and some spread")
    planned = Spread(
        pilot.seeds * pilot.n_seeds / n_seeds,
        pilot.questions,
        n_seeds,
        pilot.n_questions,
    )
    candidates = planned.seeds / _chi_square(pilot.n_seeds - 1)
    averaged = _power(effect, candidates, planned, n_seeds, alpha)
    weight = (pilot.seeds / pilot.total) ** 0.5
    return weight * averaged + (1 - weight) * power(effect, planned, alpha)


def minimum_detectable(pilot: Spread, alpha: float = 0.05, target: float = 0.8) -> float:
    """The difference that a repeat of the same size would separate from zero with power `target`.

    In the unit of the metric. NaN where there is no spread to go by.
    """
    if pilot.n_seeds < 2 or pilot.total < NO_SPREAD:
        return float("nan")
    high = 4 * pilot.total**0.5
    while expected_power(high, pilot, pilot.n_seeds, alpha) < target:
        high *= 2
    return float(
        brentq(
            lambda effect: expected_power(effect, pilot, pilot.n_seeds, alpha) - target,
            0.0,
            high,
            rtol=1e-4,
        )
    )


def seeds_needed(
    pilot: Spread,
    effect: float,
    alpha: float = 0.05,
    target: float = 0.8,
    most: int = MOST_SEEDS,
) -> int | None:
    """Seeds at which a true difference of `effect` would be separated with power `target`.

    None where `most` seeds would not do; `questions_suffice` says whether more seeds could at all.
    """
    if pilot.n_seeds < 2 or pilot.total < NO_SPREAD:
        return None
    if expected_power(effect, pilot, most, alpha) < target:
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        if expected_power(effect, pilot, middle, alpha) < target:
            low = middle
        else:
            high = middle
    return high


def questions_suffice(
    pilot: Spread, effect: float, alpha: float = 0.05, target: float = 0.8
) -> bool:
    """Whether endless seeds would separate `effect` on this question set.

    Where not, the spread over the shared questions alone hides it and more of them are needed.
    """
    if pilot.questions < NO_SPREAD:
        return True
    endless = Spread(0.0, pilot.questions, 2, pilot.n_questions)
    return power(effect, endless, alpha) >= target


def _power(
    effect: float, true_seeds: np.ndarray, spread: Spread, n_seeds: int, alpha: float
) -> float:
    """Mean power over candidate true seed variances [candidates] and estimates around each."""
    estimated = true_seeds[:, None] * _chi_square(n_seeds - 1)[None, :]
    half = half_width(estimated, spread.questions, n_seeds, spread.n_questions, alpha)
    deviation = np.sqrt(true_seeds + spread.questions)[:, None]
    found = ndtr((effect - half) / deviation) + ndtr((-effect - half) / deviation)
    return float(found.mean())


@lru_cache(maxsize=64)
def _chi_square(freedom: int) -> np.ndarray:
    """Equally likely values of chi2 / freedom, [NODES]: midpoints of NODES quantile slices."""
    return chi2.ppf((np.arange(NODES) + 0.5) / NODES, freedom) / freedom
