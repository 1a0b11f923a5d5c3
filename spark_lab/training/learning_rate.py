"""The learning rate as a function of the spent budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spark_lab.training.meter import Budget, ComputeMeter


def factor(kind: str, fraction: float, warmup: float, floor: float) -> float:
    """Multiplier of the peak learning rate after `fraction` of the budget.

    Linear warm-up over the first `warmup` of the budget, then constant, or linear or cosine decay
    down to `floor`.
    """
    if fraction < warmup:
        return fraction / warmup
    if kind == "constant":
        return 1.0
    progress = (fraction - warmup) / (1.0 - warmup) if warmup < 1.0 else 1.0
    decay = 1.0 - progress if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return floor + (1.0 - floor) * decay


@dataclass(frozen=True, slots=True)
class LearningRate:
    """The multiplier of this moment; steps are not counted here, as the meter knows what was spent."""

    kind: str
    warmup: float
    floor: float
    budget: Budget
    meter: ComputeMeter

    def __call__(self) -> float:
        return factor(self.kind, self.budget.fraction(self.meter), self.warmup, self.floor)
