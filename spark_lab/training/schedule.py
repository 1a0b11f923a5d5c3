"""What each window of rollouts is spent on: questions, recycled items, or both.

A window is one batch of `size` groups that is sampled at once. The schedules:

- joint: solve windows and judge windows, two to an optimizer step, so that a judge window and a
  solve window are sampled from the same weights and their gradients are summed before clipping and
  Adam.
- alternate: a solve update, then a judge update if the buffer holds a whole window (the authors'
  code). The judge window is sampled from the already updated weights.
- mixed: a fixed fraction of a window's groups is recycled items (RISE, arXiv 2505.13445).
- judge_only: judge windows alone, of items that the starting model made (the paper's Reward-Only).

A judge window (for mixed: a window with items in it) is due after every `judge_every` solve
windows, and waits until `judge_items` items are there. Where the buffer can't fill its part (at the
start, or when every group is all right), questions take the free places, so that every window has
the same number of rollouts.

Extra windows are sampled for judging only; no update follows from them, and their questions come
from a stream of their own, so that the questions trained on stay those of every other arm:

- source=frozen: the first `frozen_windows` of a run, before any update.
- source=fresh: one before each judge window that the buffer can't fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spark_lab.errors import Problem, UserError
from spark_lab.records import Item
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.schema import RecycleConfig, ScheduleConfig
from spark_lab.training.stream import PromptStream

# A group's source: the index of a training question, or a recycled item.
Source = int | Item


@dataclass(frozen=True, slots=True)
class Window:
    """The sources of a window's groups. `extra`: sampled for judging only, without an update."""

    sources: list[Source]
    extra: bool = False


class Schedule:
    """Plans windows. With `active` False (no objectives) every window is a solve window."""

    def __init__(self, config: ScheduleConfig, recycle: RecycleConfig, size: int, *, active: bool):
        self._config = config
        self._size = size
        self._active = active
        self._source = recycle.source
        self._recycled = round(config.fraction * size) if config.kind == "mixed" else size
        self._least = config.judge_items
        if self._least is None:
            self._least = size if config.kind == "alternate" else 0
        # Windows without an item since the last one with some.
        self._solved = 0
        # Extra windows that may be sampled before the next window with an update.
        self._extra = {"frozen": recycle.frozen_windows, "fresh": 1}.get(self._source, 0)

    @property
    def windows_per_update(self) -> int:
        return 2 if self._active and self._config.kind == "joint" else 1

    def plan(
        self,
        stream: PromptStream,
        extra_stream: PromptStream,
        buffer: RecycleBuffer,
        shares: Mapping[str, float],
    ) -> Window:
        """The next window. `shares`: the objectives' present shares of the items."""
        places = self._due()
        ready = buffer.ready(shares)
        if self._active and self._extra and (self._source == "frozen" or ready < places):
            self._extra -= 1
            return Window(list(extra_stream.take(self._size)), extra=True)
        if self._config.kind == "judge_only" and self._active and not ready:
            raise UserError(_nothing_to_judge())
        if self._source == "fresh":
            self._extra = 1
        if ready < self._least:
            places = 0
        self._solved = 0 if places else self._solved + 1
        items = buffer.take(places, shares)
        return Window(_interleave(list(stream.take(self._size - len(items))), items))

    def _due(self) -> int:
        """How many places of the next window the cadence gives to items."""
        if self._config.kind == "judge_only":
            return self._size
        # A mixed window has questions too, so it is itself the last of its `judge_every`.
        solved = self._solved + (self._config.kind == "mixed")
        return self._recycled if self._active and solved >= self._config.judge_every else 0

    def state_dict(self) -> dict[str, Any]:
        return {"solved": self._solved, "extra": self._extra}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._solved, self._extra = state["solved"], state["extra"]


def _nothing_to_judge() -> Problem:
    return Problem(
        "recycle.frozen_windows",
        "no item at all, from none of the starting model's rollouts",
        "items, as schedule=judge_only trains on nothing else",
        "more windows, or look at recycle/dropped_* and at the rollouts of objective=none",
    )


def _interleave(questions: list[Source], items: list[Item]) -> list[Source]:
    """Spread the items evenly over the window, and so over the ranks that share it."""
    plan, taken = [], 0
    size = len(questions) + len(items)
    for place in range(size):
        due = (place + 1) * len(items) // size
        if due > taken:
            plan.append(items[taken])
            taken += 1
        else:
            plan.append(questions[place - taken])
    return plan
