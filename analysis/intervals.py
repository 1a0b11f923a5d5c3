"""The 95 % interval of a mean paired difference, over new seeds AND new questions.

The data are differences D[s, q] between two arms: seed s trained both, question q examined both.
The same questions are put to every seed, so seeds and questions are crossed, not nested:

    D[s, q] = mu + a[s] + b[q] + e[s, q]
    var(mean) = var_a / n + var_b / Q + var_e / (n Q)

Both halves of that variance come from the two-way mean squares (Searle, Casella & McCulloch,
"Variance Components", 1992, chapter 4):

    seeds      MS_seed / (n Q)                              estimates  var_a / n + var_e / (n Q)
    questions  max(0, MS_question - MS_residual) / (n Q)    estimates  var_b / Q

The first has n - 1 degrees of freedom (two at three seeds), the second about Q - 1. The interval
weighs their critical values by their variances (Cochran & Cox, "Experimental Designs", 1950):

    half width = (seeds t[n-1] + questions t[Q-1]) / sqrt(seeds + questions)

Why this and not the usual ones (tests/benchmarks/bench_truth.py prints the comparison):
- the bootstrap over seeds has too few seeds to resample: at n = 3 it covers 70 %; resampling
  questions too, nested (78-92 %) or crossed (83-98 %; Owen, "The pigeonhole bootstrap", Annals of
  Applied Statistics 1, 2007), still does not know how many seeds there were; bootstrap-t meets
  resamples of one repeated seed (62-82 %);
- the sign-flip test can't give p below 2 / 2^n, which is 0.25 at three seeds;
- t over the seeds' means forgets var_b / Q, the question sample that all seeds share;
- Satterthwaite's effective degrees of freedom (1946) are themselves estimated from two degrees of
  freedom, large exactly when the variance is underestimated: 92 % coverage at n = 3, and three
  times the promised error in the tails that Holm's correction looks at.
Cochran and Cox's weighting covers 95 % where seeds dominate and errs on the safe side, 97 % at worst,
at three seeds where question sampling dominates. It is symmetric and normal-theory: where the seeds
of one arm alone are strongly skewed (now and then a run collapses) it covers 92-93 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

SMALLEST_P = 1e-12
# Variance of a mean below which nothing but rounding varies.
NO_SPREAD = 1e-14

Basis = Literal["seeds and questions", "seeds", "questions", "none"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of a mean difference by origin, and the degrees of freedom behind each part.

    `seeds` shrinks with more seeds, `questions` only with more held-out questions.
    """

    seeds: float
    questions: float
    n_seeds: int
    n_questions: int

    @property
    def total(self) -> float:
        return self.seeds + self.questions


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean paired difference in the metric's own unit, with its interval and two-sided p-value.

    `basis` says over what the interval generalises; it is "questions" where only one seed exists
    (what these two checkpoints do, not what training again would) and "none", with NaN for the
    interval, where nothing varies or a single number is all there is.
    """

    mean: float
    low: float
    high: float
    p_value: float
    confidence: float
    basis: Basis
    spread: Spread


def two_way(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of crossed differences [..., seeds, questions] and the two parts of its variance.

    Returns (mean, seeds part, questions part), each [...]. Needs two seeds and two questions.
    """
    n, questions = values.shape[-2:]
    mean = values.mean(axis=(-2, -1))
    by_seed = values.mean(axis=-1) - mean[..., None]
    by_question = values.mean(axis=-2) - mean[..., None]
    sum_seed = questions * (by_seed**2).sum(axis=-1)
    sum_question = n * (by_question**2).sum(axis=-1)
    total = (values**2).sum(axis=(-2, -1)) - n * questions * mean**2
    residual = np.maximum(total - sum_seed - sum_question, 0.0) / ((n - 1) * (questions - 1))
    ms_seed = sum_seed / (n - 1)
    # Seeds that agree to the last digit are a coincidence of a coarse metric, not knowledge that
    # seeds do not differ; the residual is what their mean square would be if they did not.
    ms_seed = np.where(ms_seed > 1e-12, ms_seed, residual)
    ms_question = np.maximum(sum_question / (questions - 1) - residual, 0.0)
    return mean, ms_seed / (n * questions), ms_question / (n * questions)


def half_width(
    seeds: np.ndarray | float,
    questions: np.ndarray | float,
    n_seeds: int,
    n_questions: int,
    alpha: np.ndarray | float,
) -> np.ndarray:
    """Half width of the 1 - alpha interval from the two parts of the variance (module docstring).

    All arrays broadcast. A single seed or question leaves its part out; zero spread gives 0.
    """
    seeds, questions = np.asarray(seeds, float), np.asarray(questions, float)
    upper = 1 - np.asarray(alpha, float) / 2
    weighted = np.zeros(np.broadcast_shapes(seeds.shape, questions.shape, upper.shape))
    if n_seeds > 1:
        weighted = weighted + seeds * stdtrit(n_seeds - 1, upper)
    if n_questions > 1:
        weighted = weighted + questions * stdtrit(n_questions - 1, upper)
    total = np.sqrt(seeds + questions)
    return np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)


def p_value(
    mean: np.ndarray | float,
    seeds: np.ndarray | float,
    questions: np.ndarray | float,
    n_seeds: int,
    n_questions: int,
) -> np.ndarray:
    """The alpha at which the interval just touches zero, found by bisection; never below 1e-12."""
    mean = np.abs(np.asarray(mean, float))
    low = np.full(np.broadcast_shapes(mean.shape, np.shape(seeds)), np.log(SMALLEST_P))
    high = np.zeros_like(low)
    for _ in range(50):
        middle = (low + high) / 2
        wide = half_width(seeds, questions, n_seeds, n_questions, np.exp(middle)) > mean
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.exp(high)


def estimate(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean, interval and p-value of paired differences [seeds, questions] or [seeds].

    Raises ValueError on an empty array.
    """
    if values.size == 0:
        raise ValueError("no paired differences to estimate from")
    n, questions = values.shape[0], values.shape[1] if values.ndim == 2 else 1
    mean = float(values.mean())
    if n > 1 and questions > 1:
        _, by_seed, by_question = two_way(values)
        basis: Basis = "seeds and questions"
    elif n > 1:
        by_seed, by_question = values.reshape(n).var(ddof=1) / n, 0.0
        basis = "seeds"
    elif questions > 1:
        by_seed, by_question = 0.0, values.reshape(-1).var(ddof=1) / questions
        basis = "questions"
    else:
        by_seed, by_question, basis = 0.0, 0.0, "none"
    spread = Spread(float(by_seed), float(by_question), n, questions)
    if spread.total < NO_SPREAD:
        known = 1.0 if mean == 0 and values.size > 1 else np.nan
        return Estimate(mean, np.nan, np.nan, known, confidence, "none", spread)
    parts = (spread.seeds, spread.questions, n, questions)
    half = float(half_width(*parts, 1 - confidence))
    return Estimate(
        mean,
        mean - half,
        mean + half,
        float(p_value(mean, *parts)),
        confidence,
        basis,
        spread,
    )
