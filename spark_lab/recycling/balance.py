"""Which label the next pointwise item should have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spark_lab.records import Group

TOSS_UP = 0.5


class LabelBalance:
    """Holds the share of items with label "correct" at a target, at every moment to within half
    an item (error diffusion): `half` aims at 0.5, `prior` at the share of right rollouts in the
    window, `none` at nothing.

    An item is wanted if it leaves the surplus of right items over the target within 0.5; of right
    and wrong, one always is, and both are where the surplus allows either.
    """

    def __init__(self, kind: str):
        self._kind = kind
        self._surplus = 0.0
        self._target = TOSS_UP

    def open_window(self, groups: Sequence[Group]) -> None:
        if self._kind == "prior" and groups:
            self._target = sum(group.accuracy for group in groups) / len(groups)

    def wanted(self, correct: bool) -> bool:
        if self._kind == "none":
            return True
        spare = self._target - TOSS_UP
        return self._surplus <= spare if correct else self._surplus >= spare

    def choose(self, coin: float) -> bool:
        """Right or wrong, where a group can give either; `coin` is uniform in [0, 1)."""
        right = self.wanted(True)
        return coin < self._target if right and self.wanted(False) else right

    def add(self, correct: bool) -> None:
        if self._kind != "none":
            self._surplus += correct - self._target

    def state_dict(self) -> dict[str, Any]:
        return {"surplus": self._surplus, "target": self._target}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._surplus, self._target = state["surplus"], state["target"]
