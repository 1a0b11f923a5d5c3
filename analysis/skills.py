"""Held-out skills of one arm over compute, with the interval that its seeds or questions allow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spark_lab.analysis.curves import aligned, on_grid, seed_band
from spark_lab.analysis.load import RunData, final_items

Z95 = 1.96
# A t interval over two seeds is wider than the panel: below this the range is shown.
BAND_SEEDS = 3


class Skill(NamedTuple):
    """A curve of the figure. `judge` skills are drawn against the policy in the phase portrait."""

    key: str
    metric: str
    words: str
    judge: bool


SKILLS = (
    Skill("policy", "policy/accuracy", "policy", False),
    Skill("pointwise", "fixed/judge/pointwise_balanced_accuracy", "pointwise judge", True),
    Skill("pairwise", "fixed/judge/pairwise_accuracy", "pairwise judge", True),
    Skill("reflect", "fixed/reflect/fix_rate", "reflection fixes", False),
)


class Curve(NamedTuple):
    """A skill of one arm at each evaluation: mean over seeds and a 95 % interval, each [points]."""

    skill: Skill
    compute: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def skill_curves(seeds: list[RunData], axis: str) -> list[Curve]:
    """The measured skills of one arm over a compute column, in the order of SKILLS.

    One seed has Wilson intervals over its questions, two seeds their range, more a t interval.
    """
    return [
        _over_questions(seeds[0], skill, axis)
        if len(seeds) == 1
        else _over_seeds(seeds, skill, axis)
        for skill in SKILLS
        if all(skill.metric in run.evals for run in seeds)
    ]


def trials(run: RunData) -> dict[str, float]:
    """How many independent held-out trials are behind each skill of a run; empty if unknown.

    A balanced accuracy has the variance of 4 / (1/right + 1/wrong) trials. The two orders of a pair
    count once, since they are the same judgement.
    """
    items = final_items(run).rows
    if items.empty:
        return {}
    fixed = items[items["set"] == "fixed"]
    judged = fixed[fixed["objective"] == "pointwise"]["source_correct"].astype(bool)
    right, wrong = int(judged.sum()), int((~judged).sum())
    reflected = fixed[fixed["objective"] == "reflect"]
    counts = {
        "policy": items[(items["objective"] == "solve") & (items["sample"] == 0)].shape[0],
        "pointwise": 4 / (1 / right + 1 / wrong) if right and wrong else 0,
        "pairwise": fixed[fixed["objective"] == "pairwise"]["question"].nunique(),
        "reflect": reflected[~reflected["source_correct"].astype(bool)]["question"].nunique(),
    }
    return {key: count for key, count in counts.items() if count}


def wilson(share: np.ndarray, count: float) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share of `count` independent trials (Wilson 1927)."""
    z2 = Z95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = Z95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count)) / (1 + z2)
    return middle - half, middle + half


def _over_questions(run: RunData, skill: Skill, axis: str) -> Curve:
    measured = run.evals[[axis, skill.metric]].dropna()
    share = measured[skill.metric].to_numpy(float)
    count = trials(run).get(skill.key)
    low, high = (share, share) if count is None else wilson(share, count)
    return Curve(skill, measured[axis].to_numpy(float), share, low, high)


def _over_seeds(seeds: list[RunData], skill: Skill, axis: str) -> Curve:
    measured = [run.evals[[axis, skill.metric]].dropna().to_numpy(float).T for run in seeds]
    if all(run.final is not None for run in seeds):
        measured = aligned(measured)
    grid = max((compute for compute, _ in measured), key=len)
    band = seed_band(np.stack([on_grid(*one, grid) for one in measured]))
    return Curve(skill, grid, band.mean, band.low, band.high)
