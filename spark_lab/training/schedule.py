"""What each window of rollouts is spent on: questions, recycled items, or both.

A window is one batch of `size` groups that is sampled at once. The schedules:

- joint: solve window and judge window in turn, both inside one optimizer step, so both are sampled
  from the same weights and their gradients are summed before clipping and Adam.
- alternate: a solve update, then a judge update if the buffer holds a whole window (the authors'
  code). The judge window is sampled from the already updated weights.
- mixed: a fixed fraction of every window's groups is recycled items (RISE, arXiv 2505.13445).

Where the buffer can't fill its part (at the start, or when every group is all right), questions
take the free places, so that every window has the same number of rollouts.
"""

from __future__ import annotations

from typing import Any

from spark_lab.records import Item
from spark_lab.recycling.buffer import RecycleBuffer
from spark_lab.schema import ScheduleConfig
from spark_lab.training.stream import PromptStream

# A group's source: the index of a training question, or a recycled item.
Source = int | Item


class Schedule:
    """Plans windows. With `active` False (no objectives) every window is a solve window."""

    def __init__(self, config: ScheduleConfig, size: int, *, active: bool):
        self._kind = config.kind if active else "solve"
        self._size = size
        self._recycled = round(config.fraction * size)
        self._judge_next = False

    @property
    def windows_per_update(self) -> int:
        return 2 if self._kind == "joint" else 1

    def plan(self, stream: PromptStream, buffer: RecycleBuffer) -> list[Source]:
        """The sources of the next window's groups, `size` of them."""
        items = buffer.take(self._places(buffer))
        questions: list[Source] = list(stream.take(self._size - len(items)))
        return _interleave(questions, items)

    def _places(self, buffer: RecycleBuffer) -> int:
        if self._kind == "mixed":
            return self._recycled
        if self._kind == "solve":
            return 0
        judge = self._judge_next
        if self._kind == "alternate":
            judge = judge and len(buffer) >= self._size
        self._judge_next = not judge
        return self._size if judge else 0

    def state_dict(self) -> dict[str, Any]:
        return {"judge_next": self._judge_next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._judge_next = state["judge_next"]


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
