"""Were two arms given the same compute? What was matched, and what was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TOLERANCE = 0.02

WORDS = {
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "rollouts": "rollouts",
    "updates": "updates",
    "steps": "steps",
    "flops": "FLOPs",
    "seconds": "seconds",
}


@dataclass(frozen=True, slots=True)
class BudgetMatch:
    """Compute of an arm and its baseline over the paired seeds.

    `arm` and `baseline` hold the mean amount per unit, `excess` the largest relative difference of
    any seed pair in that unit, signed: 0.1 is 10 % more for the arm. `unit` is the one that the
    comparison set out to match.
    """

    unit: str
    arm: dict[str, float]
    baseline: dict[str, float]
    excess: dict[str, float]
    tolerance: float

    @property
    def matched(self) -> bool:
        return abs(self.excess[self.unit]) <= self.tolerance

    @property
    def unmatched_units(self) -> tuple[str, ...]:
        return tuple(unit for unit, by in self.excess.items() if abs(by) > self.tolerance)


def match_budgets(
    arm: Mapping[str, np.ndarray],
    baseline: Mapping[str, np.ndarray],
    unit: str,
    tolerance: float = TOLERANCE,
) -> BudgetMatch:
    """Compare the compute of paired runs, each unit an array [seeds] in the same order of seeds.

    One seed pair that differs by more than `tolerance` is enough to call the unit unmatched. Units
    that only one arm has, and wall-clock seconds unless they are the budget itself, are left out: a
    busy machine is no unfairness.

    Raises ValueError where `unit` is missing or the baseline spent nothing.
    """
    units = [name for name in baseline if name in arm and (name != "seconds" or unit == "seconds")]
    if unit not in units:
        raise ValueError(f"no {unit} for both arms: budgets can't be compared")
    excess = {}
    for name in units:
        ours, theirs = np.asarray(arm[name], float), np.asarray(baseline[name], float)
        if (theirs <= 0).any():
            raise ValueError(f"the baseline spent no {name}")
        ratio = ours / theirs - 1
        excess[name] = float(ratio[np.abs(ratio).argmax()])
    return BudgetMatch(
        unit=unit,
        arm={name: float(np.mean(arm[name])) for name in units},
        baseline={name: float(np.mean(baseline[name])) for name in units},
        excess=excess,
        tolerance=tolerance,
    )


def amount(value: float, unit: str) -> str:
    """`12.0 M generated tokens`: a number a person can say, with its unit."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {letter} {WORDS.get(unit, unit)}"
    return f"{value:.4g} {WORDS.get(unit, unit)}"
