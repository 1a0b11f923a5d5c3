"""The other intervals that one might have used, for the comparison in bench_truth.py only.

Each takes differences [sweeps, seeds, questions] and returns (low, high), each [sweeps].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from spark_lab.analysis.intervals import half_width, two_way

RESAMPLES = 400
Bounds = tuple[np.ndarray, np.ndarray]


def bootstrap_seeds(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Percentile bootstrap over the seeds' means (what rliable does with one task)."""
    seeds = values.mean(axis=2)
    return _percentiles(seeds[:, _draws(seeds.shape[1], rng)].mean(axis=2))


def hierarchical(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Seeds, then questions anew within every drawn seed, as if questions were nested in seeds."""
    n, questions = values.shape[1:]
    draws = _draws(n, rng)
    weights = rng.multinomial(questions, np.full(questions, 1 / questions), RESAMPLES * n)
    weights = (weights.T / questions).astype(np.float32)
    column = np.arange(RESAMPLES * n).reshape(RESAMPLES, n)
    return _percentiles(
        np.stack([(sweep @ weights)[draws, column].mean(axis=1) for sweep in values])
    )


def pigeonhole(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Seeds and questions resampled independently, crossed (Owen 2007)."""
    n, questions = values.shape[1:]
    by_seed = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float32) / n
    by_question = rng.multinomial(questions, np.full(questions, 1 / questions), RESAMPLES)
    by_question = (by_question / questions).astype(np.float32)
    return _percentiles(
        np.stack([((by_seed @ sweep) * by_question).sum(axis=1) for sweep in values])
    )


def bootstrap_t(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Studentised bootstrap over seeds; resamples of one repeated seed have no spread and drop out."""
    seeds = values.mean(axis=2)
    drawn = seeds[:, _draws(seeds.shape[1], rng)]
    mean, error = seeds.mean(axis=1), _standard_error(seeds)
    spread = _standard_error(drawn)
    usable = (spread > 1e-9) | (error[:, None] < 1e-9)
    ratio = np.where(usable, drawn.mean(axis=2) - mean[:, None], np.nan)
    ratio = ratio / np.where(spread > 1e-9, spread, 1.0)
    low, high = np.nanpercentile(ratio, [2.5, 97.5], axis=1)
    return mean - high * error, mean - low * error


def t_over_seeds(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Student's t on the seeds' means."""
    seeds = values.mean(axis=2)
    return _around(seeds.mean(axis=1), _standard_error(seeds) * stdtrit(seeds.shape[1] - 1, 0.975))


def satterthwaite(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Crossed variance with Satterthwaite's (1946) effective degrees of freedom."""
    n, questions = values.shape[1:]
    mean, seeds, by_question = two_way(values.astype(float))
    total = seeds + by_question
    freedom = total**2 / (seeds**2 / (n - 1) + by_question**2 / (questions - 1) + 1e-30)
    return _around(mean, np.sqrt(total) * stdtrit(np.minimum(freedom, 1e6), 0.975))


def shipped(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Crossed variance with Cochran and Cox's weighted critical value: spark_lab.analysis.intervals."""
    mean, seeds, questions = two_way(values.astype(float))
    return _around(mean, half_width(seeds, questions, *values.shape[1:], 0.05))


METHODS: dict[str, Callable[[np.ndarray, np.random.Generator], Bounds]] = {
    "bootstrap over seeds": bootstrap_seeds,
    "hierarchical bootstrap": hierarchical,
    "pigeonhole bootstrap": pigeonhole,
    "bootstrap-t over seeds": bootstrap_t,
    "t over seeds": t_over_seeds,
    "two-way, Satterthwaite": satterthwaite,
    "two-way, Cochran-Cox (shipped)": shipped,
}


def _draws(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(n, size=(RESAMPLES, n))


def _standard_error(seeds: np.ndarray) -> np.ndarray:
    return seeds.std(axis=-1, ddof=1) / np.sqrt(seeds.shape[-1])


def _percentiles(means: np.ndarray) -> Bounds:
    low, high = np.percentile(means, [2.5, 97.5], axis=1)
    return low, high


def _around(mean: np.ndarray, half: np.ndarray) -> Bounds:
    return mean - half, mean + half
