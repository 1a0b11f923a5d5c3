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
from the same distribution (`order=hardest` visits the groups with the fewest right rollouts first).

A group of reflections may be recycled once more (`objective.reflect.chain`): into a reflection on
one of those second attempts, by the same rule, and into no judge item.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spark_lab.objectives import Objective
from spark_lab.records import Group, Item, Prompt, Rollout
from spark_lab.recycling.balance import LabelBalance
from spark_lab.recycling.pairs import choose_wrong
from spark_lab.schema import RecycleConfig


@dataclass(slots=True)
class Harvest:
    """The items of one window, and how many were lost for what reason."""

    items: list[Item] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Harvest) -> Harvest:
        self.items += other.items
        self.dropped += other.dropped
        return self


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
        fits: Callable[[Prompt], bool],
    ):
        self._config = config
        self._objectives = objectives
        self._rng = random.Random(seed)
        self._fits = fits
        self._balance = LabelBalance(config.label_balance)

    @property
    def chains(self) -> bool:
        """Whether reflections are recycled once more."""
        reflect = self._objectives.get("reflect")
        return reflect is not None and reflect.config.chain

    def takes(self, *, extra: bool) -> bool:
        """Whether items are made from windows that were sampled for judging only, or from the
        other ones, which are trained on."""
        return extra == (self._config.source in ("frozen", "fresh"))

    def recycle(self, groups: Sequence[Group], window: int, *, chained: bool = False) -> Harvest:
        """The items of a window's groups. `chained`: of its reflections, into further ones."""
        if not chained:
            self._balance.open_window(groups)
        harvest = Harvest()
        counts: Counter[str] = Counter()
        for position in self._visits(groups):
            group, early = groups[position], 2 * position < len(groups)
            if self._filtered(group):
                harvest.dropped["filter"] += 1
                continue
            if not chained and counts["judge"] < self._config.judge_cap:
                item = self._judge_item(group, early, window, harvest.dropped)
                counts["judge"] += self._keep(item, group, harvest)
            if counts["reflect"] < self._config.reflect_cap:
                item = self._reflect_item(group, early, window, harvest.dropped)
                counts["reflect"] += self._keep(item, group, harvest, chained=chained)
        return harvest

    def _visits(self, groups: Sequence[Group]) -> list[int]:
        order = list(range(len(groups)))
        self._rng.shuffle(order)
        if self._config.order == "hardest":
            order.sort(key=lambda position: groups[position].accuracy)
        return order

    def _filtered(self, group: Group) -> bool:
        config = self._config
        return (config.all_right == "drop" and not group.wrong) or (
            config.all_wrong == "drop" and not group.right
        )

    def _keep(
        self, item: Item | None, group: Group, harvest: Harvest, *, chained: bool = False
    ) -> bool:
        if item is None:
            return False
        if not self._fits(Prompt(item.prompt, group.question.images)):
            harvest.dropped["too_long"] += 1
            return False
        if item.objective == "pointwise":
            self._balance.add(bool(item.source_correct))
        harvest.items.append(replace(item, accuracy=group.accuracy, chained=chained))
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
        right, wrongs = self._pick(group.right, material), _showable(group.wrong, material)
        if right is None or not wrongs:
            dropped["unparsed"] += 1
            return None
        wrong = choose_wrong(pairwise.config.wrong, wrongs, right, material, self._rng)
        return pairwise.compose(
            group.question, right, wrong, rng=self._rng, window=window, material=material
        )

    def _pointwise_source(
        self, group: Group, material: str, dropped: Counter[str]
    ) -> Rollout | None:
        source = self._pointwise_candidates(group, dropped)
        if not source:
            return None
        rollout = self._pick(source, material)
        if rollout is None:
            dropped["unparsed"] += 1
        return rollout

    def _pointwise_candidates(self, group: Group, dropped: Counter[str]) -> Sequence[Rollout]:
        if group.right and group.wrong:
            right = self._balance.choose(self._rng.random())
            return group.right if right else group.wrong
        correct = bool(group.right)
        if (self._config.all_right if correct else self._config.all_wrong) == "skip":
            dropped["filter"] += 1
            return ()
        if not self._balance.wanted(correct):
            dropped["balance"] += 1
            return ()
        return group.rollouts[:1] if correct else group.wrong

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
        showable = _showable(rollouts, material)
        return self._rng.choice(showable) if showable else None

    def state_dict(self) -> dict[str, Any]:
        version, internal, gauss = self._rng.getstate()
        rng = [version, list(internal), gauss]
        return {"rng": rng, "balance": self._balance.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))
        self._balance.load_state_dict(state["balance"])


def _showable(rollouts: Sequence[Rollout], material: str) -> list[Rollout]:
    return [rollout for rollout in rollouts if rollout.showable(material)]


def _material(material: str, early: bool) -> str:
    """ "both" shows the working in the first half of the window and the answer in the second."""
    if material == "both":
        return "working" if early else "answer"
    return material
