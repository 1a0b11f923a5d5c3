"""Comparing arms: contrasts corrected over a report, and the summaries of an arm's seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import mannwhitneyu, trim_mean

from spark_lab.analysis.intervals import Estimate, estimate
from spark_lab.analysis.pairing import ArmScores, PairedDifferences, pair
from spark_lab.analysis.power import minimum_detectable, seeds_needed

Outcome = Literal["better", "worse", "not separable", "no verdict"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against its baseline on one metric, as the report states it.

    `estimate.p_value` belongs to this contrast alone, `p_corrected` to the `family` of contrasts it
    was made with (NaN where the seeds allow no test). `minimum_detectable` and `seeds_needed` hold
    for `effect_of_interest` at the corrected level and the stated `target_power`.
    """

    pairs: PairedDifferences
    estimate: Estimate
    p_corrected: float
    family: int
    alpha: float
    lower_is_better: bool
    arm_mean: float
    baseline_mean: float
    improvement: float
    minimum_detectable: float
    effect_of_interest: float
    seeds_needed: int | None
    target_power: float

    @property
    def tested(self) -> bool:
        """Whether the p-value speaks about training again, which takes two seeds and some spread."""
        return _tested(self.estimate)

    @property
    def outcome(self) -> Outcome:
        if not self.tested:
            return "no verdict"
        if self.p_corrected > self.alpha:
            return "not separable"
        return "better" if (self.estimate.mean > 0) != self.lower_is_better else "worse"


def compare(
    pairs: Sequence[tuple[ArmScores, ArmScores]],
    *,
    effect_of_interest: float = 0.02,
    alpha: float = 0.05,
    target_power: float = 0.8,
) -> list[Contrast]:
    """Contrast every (arm, baseline) pair; the p-values are corrected over all of them (Holm 1979).

    The family-wise false-positive rate is held at `alpha` over the whole list, so pass every
    contrast that a report makes at once. Contrasts without a test do not count into the family.
    Intervals stay at 1 - alpha each. Raises ValueError where a pair is not comparable (`pair`).
    """
    differences = [pair(arm, baseline) for arm, baseline in pairs]
    estimates = [estimate(difference.values, 1 - alpha) for difference in differences]
    tested = [_tested(single) for single in estimates]
    corrected = np.full(len(pairs), np.nan)
    corrected[tested] = holm(
        np.array(
            [single.p_value for single, usable in zip(estimates, tested, strict=True) if usable]
        )
    )
    level = alpha / max(sum(tested), 1)
    return [
        Contrast(
            pairs=difference,
            estimate=single,
            p_corrected=float(adjusted),
            family=sum(tested),
            alpha=alpha,
            lower_is_better=baseline.lower_is_better,
            arm_mean=_mean_over(arm, difference.seeds),
            baseline_mean=_mean_over(baseline, difference.seeds),
            improvement=probability_of_improvement(_per_seed(arm), _per_seed(baseline)),
            minimum_detectable=minimum_detectable(single.spread, level, target_power),
            effect_of_interest=effect_of_interest,
            seeds_needed=seeds_needed(single.spread, effect_of_interest, level, target_power),
            target_power=target_power,
        )
        for (arm, baseline), difference, single, adjusted in zip(
            pairs, differences, estimates, corrected, strict=True
        )
    ]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values [m] in the order given (Scand. J. Statistics 6, 1979).

    Rejecting where the result is at most alpha keeps the chance of any false rejection at alpha,
    whatever the dependence between the tests. Raises ValueError on NaN.
    """
    p_values = np.asarray(p_values, float)
    if np.isnan(p_values).any():
        raise ValueError("NaN among the p-values: leave out contrasts that were not tested")
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def iqm(scores: np.ndarray) -> float:
    """Interquartile mean: the mean without the lowest and highest quarter of the scores.

    Agarwal et al., "Deep RL at the edge of the statistical precipice", NeurIPS 2021. With fewer
    than four scores nothing is trimmed and it is the mean.
    """
    return float(trim_mean(np.asarray(scores, float), 0.25, axis=None))


def probability_of_improvement(arm: np.ndarray, baseline: np.ndarray) -> float:
    """P(a run of `arm` [n] scores above a run of `baseline` [m]), ties counting half.

    The Mann-Whitney U over all n m pairs (Agarwal et al. 2021). A description of the seeds at hand:
    with three seeds it moves in steps of 1/9, so no interval is attached.
    """
    u = mannwhitneyu(np.asarray(arm, float), np.asarray(baseline, float)).statistic
    return float(u / (len(arm) * len(baseline)))


def _tested(single: Estimate) -> bool:
    return single.basis in ("seeds and questions", "seeds")


def _per_seed(scores: ArmScores) -> np.ndarray:
    return scores.values if scores.values.ndim == 1 else scores.values.mean(axis=1)


def _mean_over(scores: ArmScores, seeds: tuple[int, ...]) -> float:
    return float(_per_seed(scores)[[scores.seeds.index(seed) for seed in seeds]].mean())
