"""Which runs of two arms may be subtracted from one another: same seed, same questions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ArmScores:
    """One metric of one arm at the final checkpoint, a row per seed.

    `values` is [seeds, questions] where every question has a score (1 right, 0 wrong), or [seeds]
    where a run has one number only (a balanced accuracy). `questions` names the columns, or the
    whole question set of a per-run number; two arms are comparable only where these agree.
    `lower_is_better` turns the verdict around (reflect/break_rate), never the difference's sign.
    """

    arm: str
    metric: str
    seeds: tuple[int, ...]
    values: np.ndarray
    questions: tuple[Hashable, ...]
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim not in (1, 2) or len(self.values) != len(self.seeds):
            raise ValueError(
                f"{self.arm}: {self.metric} has shape {self.values.shape} for {len(self.seeds)} seeds;"
                " expected [seeds, questions] or [seeds]"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"{self.arm}: a seed occurs twice in {self.seeds}")
        if self.values.ndim == 2 and self.values.shape[1] != len(self.questions):
            raise ValueError(
                f"{self.arm}: {self.metric} has {self.values.shape[1]} columns"
                f" and {len(self.questions)} question names"
            )
        if not np.isfinite(self.values).all():
            raise ValueError(f"{self.arm}: {self.metric} holds NaN; leave the seed out instead")


@dataclass(frozen=True, slots=True)
class PairedDifferences:
    """Arm minus baseline: `values` [seeds, questions] or [seeds], on the seeds both arms have."""

    arm: str
    baseline: str
    metric: str
    seeds: tuple[int, ...]
    values: np.ndarray
    only_arm: tuple[int, ...]
    only_baseline: tuple[int, ...]


def pair(arm: ArmScores, baseline: ArmScores) -> PairedDifferences:
    """Subtract `baseline` from `arm`, seed by seed and question by question.

    Seeds that only one arm has are left out and returned by name. The same questions in another
    order are brought into the baseline's order.

    Raises ValueError where the metrics, the question sets or the kinds of score differ, or where
    the arms share no seed: no number that could be returned would mean anything.
    """
    if arm.metric != baseline.metric:
        raise ValueError(f"{arm.arm} has {arm.metric}, {baseline.arm} has {baseline.metric}")
    if arm.values.ndim != baseline.values.ndim:
        raise ValueError(f"{arm.metric}: one arm has scores per question, the other one per run")
    _same_questions(arm, baseline)
    common = tuple(seed for seed in baseline.seeds if seed in set(arm.seeds))
    if not common:
        raise ValueError(
            f"{arm.arm} has seeds {_listed(arm.seeds)}, {baseline.arm} has {_listed(baseline.seeds)}:"
            " none in common, so nothing can be paired"
        )
    ours = arm.values[[arm.seeds.index(seed) for seed in common]]
    theirs = baseline.values[[baseline.seeds.index(seed) for seed in common]]
    if ours.ndim == 2:
        column = {question: i for i, question in enumerate(arm.questions)}
        ours = ours[:, [column[question] for question in baseline.questions]]
    return PairedDifferences(
        arm=arm.arm,
        baseline=baseline.arm,
        metric=arm.metric,
        seeds=common,
        values=ours.astype(float) - theirs.astype(float),
        only_arm=tuple(seed for seed in arm.seeds if seed not in common),
        only_baseline=tuple(seed for seed in baseline.seeds if seed not in common),
    )


def _same_questions(arm: ArmScores, baseline: ArmScores) -> None:
    ours, theirs = set(arm.questions), set(baseline.questions)
    if ours != theirs:
        raise ValueError(
            f"{arm.metric}: {arm.arm} and {baseline.arm} were evaluated on different questions"
            f" ({len(ours)} and {len(theirs)}, {len(ours & theirs)} in common);"
            " their difference would mix the arms with the questions"
        )


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds)) or "none"
