"""When a self-judge has stopped telling right from wrong, told without any hidden label."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spark_lab.schema import SelfJudgeConfig

# What the first and the second label of a kind's forms mean.
_SAID = {
    "pointwise": ('said "right"', 'said "wrong"'),
    "pairwise": ("chose the first solution", "chose the second solution"),
}


@dataclass(slots=True)
class Tally:
    """Counts of a judge's verdicts. `first` is the label that comes first in its form: "right" of one
    solution (kind pointwise), "the one shown first" of two (pairwise). `too_long` prompts could not
    be asked."""

    kind: str
    first: int = 0
    second: int = 0
    unreadable: int = 0
    too_long: int = 0

    @property
    def asked(self) -> int:
        return self.first + self.second + self.unreadable

    def count(self, verdict: str | None, labels: tuple[str, str]) -> None:
        if verdict is None:
            self.unreadable += 1
        elif verdict == labels[0]:
            self.first += 1
        else:
            self.second += 1

    def add(self, other: Tally) -> None:
        self.first += other.first
        self.second += other.second
        self.unreadable += other.unreadable
        self.too_long += other.too_long


@dataclass(frozen=True, slots=True)
class Window:
    """What a window said of the judge: its verdicts, and the rewards that it and the verifier gave."""

    first: int
    second: int
    unreadable: int
    self_sum: float
    self_count: int
    verified_sum: float
    verified_count: int
    verified_groups: int


class CollapseGuard:
    """Watches the last `stop_after` self-judged windows (0: never stops).

    The signs: unreadable verdicts; a pointwise judge that is further from the verifier than
    `max_gap`, where labelled questions give its word on the same policy; and where none do, or where
    pairs are judged, one verdict on nearly everything (`same_verdict`). A judge that nearly always
    says "right" of a policy that nearly always is, is no collapse.

    The verifier's mean over n groups is known to within 1 / sqrt(n): two standard errors of a number
    between 0 and 1, at most. The gap must exceed `max_gap` by as much, so a few labelled groups stop
    nobody, unless the judge says one thing of nearly everything: they then need only contradict it.
    """

    def __init__(self, config: SelfJudgeConfig):
        self._config = config
        self._windows: deque[Window] = deque(maxlen=config.stop_after)

    def watch(
        self, tally: Tally, own: Sequence[float], verified: Sequence[Sequence[float]]
    ) -> None:
        """One more window: the rewards from the judge, and those from the verifier beside it, the
        latter by group."""
        if own:
            self._windows.append(
                Window(
                    tally.first,
                    tally.second,
                    tally.unreadable,
                    sum(own),
                    len(own),
                    sum(map(sum, verified)),
                    sum(map(len, verified)),
                    len(verified),
                )
            )

    def seen(self) -> str | None:
        """What was seen, where it is a collapse."""
        config, count = self._config, len(self._windows)
        if count == 0 or count < config.stop_after:
            return None
        total = Window(*map(sum, zip(*map(_values, self._windows), strict=True)))
        first, second = _SAID[config.kind]
        verdicts = {"could not be read": total.unreadable, first: total.first, second: total.second}
        asked = max(sum(verdicts.values()), 1)
        said, most = max(verdicts.items(), key=lambda pair: pair[1])
        same = f"{most / asked:.1%} of the judge's verdicts in {count} windows {said}"
        if total.unreadable >= config.same_verdict * asked:
            return same
        if config.kind == "pairwise" or total.verified_count == 0:
            return same if most >= config.same_verdict * asked else None
        own = total.self_sum / total.self_count
        verified = total.verified_sum / total.verified_count
        gap = abs(own - verified)
        if gap > config.max_gap + total.verified_groups**-0.5:
            return (
                f"in {count} windows the judge gave {own:.2f} on average, the verifier"
                f" {verified:.2f} on {total.verified_groups} labelled questions"
            )
        contradicted = gap > config.max_gap and most >= config.same_verdict * asked
        return same if contradicted else None

    def state_dict(self) -> dict[str, Any]:
        return {"windows": [asdict(window) for window in self._windows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._windows.clear()
        self._windows.extend(Window(**window) for window in state["windows"])


def _values(window: Window) -> tuple[float, ...]:
    return tuple(asdict(window).values())
