"""How much each objective counts at the moment: its share of the judge windows, its loss weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spark_lab.schema import JudgingConfig

# Groups that an objective's accuracy is averaged over: all at first, then the last so many or so.
MEMORY = 64


def progress(schedule: str, spent: float, accuracy: float) -> float:
    """How far a value has gone from its start (0) to its end (1).

    linear and cosine follow the spent share of the budget; competence follows the objective's own
    accuracy, so that with an end below the start most is trained where judging is worst.
    """
    if schedule == "linear":
        return spent
    if schedule == "cosine":
        return 0.5 * (1.0 - math.cos(math.pi * spent))
    return accuracy if schedule == "competence" else 0.0


class Mix:
    """Shares and weights of the objectives. Its state is a running mean of their rewards.

    `spent` is the spent share of the budget, 0 to 1. An objective's accuracy counts as 0 until its
    first window.
    """

    def __init__(self, objectives: Mapping[str, JudgingConfig], spent: Callable[[], float]):
        self._objectives = dict(objectives)
        self._spent = spent
        self._groups = dict.fromkeys(objectives, 0)
        self._accuracy = dict.fromkeys(objectives, 0.0)

    def shares(self) -> dict[str, float]:
        return {
            name: self._value(name, one.share_schedule, one.share, one.share_end)
            for name, one in self._objectives.items()
        }

    def weight(self, name: str) -> float:
        one = self._objectives[name]
        return self._value(name, one.weight_schedule, one.weight, one.weight_end)

    def _value(self, name: str, schedule: str, start: float, end: float | None) -> float:
        if end is None:
            return start
        return start + (end - start) * progress(schedule, self._spent(), self._accuracy[name])

    def learn(self, name: str, rewards: Sequence[float]) -> None:
        """Take in the rewards of one of the objective's groups."""
        self._groups[name] = min(self._groups[name] + 1, MEMORY)
        mean = sum(rewards) / len(rewards)
        self._accuracy[name] += (mean - self._accuracy[name]) / self._groups[name]

    def metrics(self) -> dict[str, float]:
        """The present values of whatever follows a schedule."""
        shares, values = self.shares(), {}
        for name, one in self._objectives.items():
            if one.share_schedule != "constant":
                values[f"train/{name}/share"] = shares[name]
            if one.weight_schedule != "constant":
                values[f"train/{name}/weight"] = self.weight(name)
        return values

    def state_dict(self) -> dict[str, Any]:
        return {"groups": dict(self._groups), "accuracy": dict(self._accuracy)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._groups, self._accuracy = dict(state["groups"]), dict(state["accuracy"])
