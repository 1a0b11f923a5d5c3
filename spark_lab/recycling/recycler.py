"""The rule that turns a window's groups into judge and reflection items (SPARK section 3.2).

Each group gives at most one judge item and at most one reflection item:

| group     | judge item                                   | reflection item                     |
|-----------|----------------------------------------------|-------------------------------------|
| all right | pointwise on the first rollout               | a right one, with `keep_share`      |
| all wrong | pointwise on a random rollout                | a random wrong one                  |
| mixed     | pairwise with `pairwise_share`, else         | a random wrong one, or a right one  |
|           | pointwise on a right or a wrong one (50/50)  | with `keep_share`                   |

The defaults of these numbers, the caps and "first half of the window shows the working, second half
the answer" are those of the authors' code (the paper leaves them open). Where that code samples
down to the caps, this one visits the groups in random order until a cap is reached, which draws
from the same distribution.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_lab.objectives import Objective
from spark_lab.records import Group, Item, Rollout
from spark_lab.schema import RecycleConfig


@dataclass(slots=True)
class Harvest:
    """The items of one solve window, and how many were lost for what reason."""

    items: list[Item] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


class Recycler:
    """Applies the rule above. Its only state is a random stream and the balance of labels.

    `fits` says whether a prompt leaves room for a completion in the model's context.
    """

    def __init__(
        self,
        config: RecycleConfig,
        objectives: Mapping[str, Objective],
        *,
        seed: int,
        fits: Callable[[str], bool],
    ):
        self._config = config
        self._objectives = objectives
        self._rng = random.Random(seed)
        self._fits = fits
        # Right minus wrong pointwise items so far; label_balance=half keeps it within one.
        self._surplus = 0

    def recycle(self, groups: Sequence[Group], window: int) -> Harvest:
        harvest = Harvest()
        order = list(range(len(groups)))
        self._rng.shuffle(order)
        counts: Counter[str] = Counter()
        for position in order:
            group, early = groups[position], 2 * position < len(groups)
            if counts["judge"] < self._config.judge_cap:
                item = self._judge_item(group, early, window, harvest.dropped)
                counts["judge"] += self._keep(item, harvest)
            if counts["reflect"] < self._config.reflect_cap:
                item = self._reflect_item(group, early, window, harvest.dropped)
                counts["reflect"] += self._keep(item, harvest)
        return harvest

    def _keep(self, item: Item | None, harvest: Harvest) -> bool:
        if item is None:
            return False
        if not self._fits(item.prompt):
            harvest.dropped["too_long"] += 1
            return False
        if item.objective == "pointwise":
            self._surplus += 1 if item.source_correct else -1
        harvest.items.append(item)
        return True

    def _judge_item(
        self, group: Group, early: bool, window: int, dropped: Counter[str]
    ) -> Item | None:
        mixed = bool(group.right and group.wrong)
        pairwise, pointwise = self._objectives.get("pairwise"), self._objectives.get("pointwise")
        # The coin is only tossed between two objectives that are both switched on.
        if (
            mixed
            and pairwise is not None
            and (pointwise is None or self._rng.random() < self._config.pairwise_share)
        ):
            return self._pair(pairwise, group, early, window, dropped)
        if pointwise is None:
            return None
        material = _material(pointwise.config.material, early)
        rollout = self._pointwise_source(group, material, dropped)
        if rollout is None:
            return None
        return pointwise.compose(
            group.question, rollout, rng=self._rng, window=window, material=material
        )

    def _pair(self, pairwise, group: Group, early: bool, window: int, dropped: Counter[str]):
        material = _material(pairwise.config.material, early)
        right, wrong = self._pick(group.right, material), self._pick(group.wrong, material)
        if right is None or wrong is None:
            dropped["unparsed"] += 1
            return None
        return pairwise.compose(
            group.question, right, wrong, rng=self._rng, window=window, material=material
        )

    def _pointwise_source(
        self, group: Group, material: str, dropped: Counter[str]
    ) -> Rollout | None:
        config = self._config
        if not group.wrong:
            if config.all_right == "skip" or not self._wanted(True):
                return None
            source = [group.rollouts[0]]
        elif not group.right:
            if config.all_wrong == "skip" or not self._wanted(False):
                return None
            source = group.wrong
        else:
            source = group.right if self._target_class() else group.wrong
        rollout = self._pick(source, material)
        if rollout is None:
            dropped["unparsed"] += 1
        return rollout

    def _wanted(self, correct: bool) -> bool:
        """Under label_balance=half, an item of the label in surplus is not made at all."""
        if self._config.label_balance == "none":
            return True
        return self._surplus <= 0 if correct else self._surplus >= 0

    def _target_class(self) -> bool:
        coin = self._rng.random() < 0.5
        if self._config.label_balance == "none" or self._surplus == 0:
            return coin
        return self._surplus < 0

    def _reflect_item(
        self, group: Group, early: bool, window: int, dropped: Counter[str]
    ) -> Item | None:
        reflect = self._objectives.get("reflect")
        if reflect is None:
            return None
        keep = bool(group.right) and self._rng.random() < reflect.config.keep_share
        source = group.right if keep else group.wrong
        if not source:
            return None
        material = _material(reflect.config.material, early)
        rollout = self._pick(source, material)
        if rollout is None:
            dropped["unparsed"] += 1
            return None
        return reflect.compose(
            group.question, rollout, rng=self._rng, window=window, material=material
        )

    def _pick(self, rollouts: Sequence[Rollout], material: str) -> Rollout | None:
        showable = [rollout for rollout in rollouts if rollout.showable(material)]
        return self._rng.choice(showable) if showable else None

    def state_dict(self) -> dict[str, Any]:
        version, internal, gauss = self._rng.getstate()
        return {"rng": [version, list(internal), gauss], "surplus": self._surplus}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))
        self._surplus = state["surplus"]


def _material(material: str, early: bool) -> str:
    """ "both" shows the working in the first half of the window and the answer in the second."""
    if material == "both":
        return "working" if early else "answer"
    return material
