"""Does the judge read the solution, or does it guess from how hard the question looks?

A judge that has learned "short sums are usually solved" is right often without reading anything.
It is held against the best verdict that knows the question's solve rate and nothing else: the Bayes
classifier P(right | solve rate), fitted on other questions than those it judges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class DifficultyProfile:
    """Judge and difficulty-only baseline on the same items.

    Per bin of the solve rate, easiest last: `edges` [bins + 1], `count`, `judge` and `baseline`
    accuracy [bins] (NaN in an empty bin). Overall: balanced accuracy of both, the mean of the
    accuracies on right and on wrong solutions; NaN where one of the two is absent.
    """

    edges: np.ndarray
    count: np.ndarray
    judge: np.ndarray
    baseline: np.ndarray
    judge_balanced: float
    baseline_balanced: float

    @property
    def advantage(self) -> float:
        """What the judge knows beyond difficulty, in balanced accuracy."""
        return self.judge_balanced - self.baseline_balanced


def difficulty_profile(
    solve_rate: np.ndarray,
    right: np.ndarray,
    called_right: np.ndarray,
    question: np.ndarray,
    rng: np.random.Generator,
    *,
    bins: int = 5,
    folds: int = 10,
) -> DifficultyProfile:
    """Profile of a judge over items, all arrays [items].

    `solve_rate` in 0..1 is the policy's on the item's question, from other samples than the judged
    one (or it would leak the label). `right` is the truth, `called_right` the verdict (a verdict
    that could not be read counts as the wrong one, so pass `~right` there), `question` groups items
    that must not be split between fitting and judging.

    Raises ValueError for different lengths, no items, or fewer than two questions.
    """
    right, called_right = np.asarray(right, bool), np.asarray(called_right, bool)
    if not len(solve_rate) == len(right) == len(called_right) == len(question) > 0:
        raise ValueError("solve rate, truth, verdict and question must be given for every item")
    guessed = difficulty_verdicts(solve_rate, right, question, rng, bins=bins, folds=folds)
    edges = np.linspace(0, 1, bins + 1)
    index = _bin(solve_rate, edges)
    count = np.bincount(index, minlength=bins)
    return DifficultyProfile(
        edges=edges,
        count=count,
        judge=_mean_per_bin(called_right == right, index, count),
        baseline=_mean_per_bin(guessed == right, index, count),
        judge_balanced=balanced_accuracy(right, called_right),
        baseline_balanced=balanced_accuracy(right, guessed),
    )


def difficulty_verdicts(
    solve_rate: np.ndarray,
    right: np.ndarray,
    question: np.ndarray,
    rng: np.random.Generator,
    *,
    bins: int = 5,
    folds: int = 10,
) -> np.ndarray:
    """Out-of-fold verdicts [items] of the judge that knows the solve rate only.

    Within each bin of the solve rate it says "right" where P(bin | right) > P(bin | wrong) on the
    other folds, which is the Bayes rule for balanced accuracy; add-one smoothed, ties by the solve
    rate. Questions, not items, are dealt to the folds by `rng`.
    """
    right = np.asarray(right, bool)
    names, inverse = np.unique(question, return_inverse=True)
    if len(names) < 2:
        raise ValueError("cross-validation over questions needs at least two of them")
    folds = min(folds, len(names))
    fold = rng.permutation(np.arange(len(names)) % folds)[inverse]
    index = _bin(solve_rate, np.linspace(0, 1, bins + 1))
    guessed = np.empty(len(right), bool)
    for held_out in range(folds):
        fit, use = fold != held_out, fold == held_out
        seen_right = np.bincount(index[fit & right], minlength=bins) + 1.0
        seen_wrong = np.bincount(index[fit & ~right], minlength=bins) + 1.0
        odds = (seen_right / seen_right.sum()) - (seen_wrong / seen_wrong.sum())
        easy = np.asarray(solve_rate)[use] > 0.5
        guessed[use] = np.where(odds[index[use]] == 0, easy, odds[index[use]] > 0)
    return guessed


def balanced_accuracy(right: np.ndarray, called_right: np.ndarray) -> float:
    """Mean of the accuracies on right and on wrong solutions; NaN where one kind is absent."""
    if right.all() or not right.any():
        return float("nan")
    return float((called_right[right].mean() + (~called_right[~right]).mean()) / 2)


def _bin(solve_rate: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, solve_rate, side="right") - 1, 0, len(edges) - 2)


def _mean_per_bin(hit: np.ndarray, index: np.ndarray, count: np.ndarray) -> np.ndarray:
    total = np.bincount(index, weights=hit, minlength=len(count))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
