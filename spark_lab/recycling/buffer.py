"""Recycled items wait here until a judge window takes them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from spark_lab.records import Item
from spark_lab.recycling.queues import ItemQueue
from spark_lab.schema import RecycleConfig

_FIELDS = tuple(field.name for field in fields(Item))


class RecycleBuffer:
    """One queue for each objective, at most `capacity` items each: the oldest leave first.

    Under source=lagged, items that are too young stand in line before they enter their queue;
    under source=frozen, items go back to the end of their queue as they are used, so that they are
    used in turn, also within a window that holds more than there are.

    Every operation costs time in proportion to the items moved, whatever the buffer holds. The
    buffer is replicated on every rank: same calls, same content.
    """

    def __init__(self, objectives: Iterable[str], config: RecycleConfig):
        self._queues = {name: ItemQueue(config.order) for name in objectives}
        self._credit = dict.fromkeys(self._queues, 0.0)
        self._young: deque[Item] = deque()
        self._serial = 0
        self._config = config
        self._lag = config.lag_windows if config.source == "lagged" else 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def young(self) -> int:
        """How many items are still too young to be used."""
        return len(self._young)

    def push(self, items: Iterable[Item], now: int) -> Counter[str]:
        """Let items in before window `now`; returns how many old ones left, by reason."""
        dropped: Counter[str] = Counter()
        self._young.extend(items)
        while self._young and now - self._young[0].window >= self._lag:
            dropped["capacity"] += self._admit(self._young.popleft())
        if self._config.max_age is not None:
            dropped["age"] += self._expire(now - self._config.max_age)
        return dropped

    def _admit(self, item: Item) -> bool:
        """Append to the item's queue; says whether another one had to leave for it."""
        queue = self._queues[item.objective]
        queue.append((self._serial, item))
        self._serial += 1
        full = len(queue) > self._config.capacity
        if full:
            queue.drop_oldest()
        return full

    def _expire(self, first_window: int) -> int:
        expired = 0
        for queue in self._queues.values():
            while queue and queue.oldest()[1].window < first_window:
                queue.drop_oldest()
                expired += 1
        return expired

    def ready(self, shares: Mapping[str, float]) -> int:
        """How many items `take` could return at these shares."""
        return sum(len(self._queues[name]) for name in self._served(shares))

    def take(self, count: int, shares: Mapping[str, float]) -> list[Item]:
        """Up to `count` items, by age alone or by the objectives' shares."""
        taken = []
        while len(taken) < count and (waiting := self._served(shares)):
            fifo = self._config.take == "fifo"
            name = self._oldest(waiting) if fifo else self._owed(waiting, shares)
            taken.append(self._queues[name].pop())
            if self._config.source == "frozen":
                self._admit(taken[-1])
        return taken

    def _served(self, shares: Mapping[str, float]) -> list[str]:
        """The objectives that have items and, unless age decides, a share."""
        fifo = self._config.take == "fifo"
        return [name for name, queue in self._queues.items() if queue and (fifo or shares[name])]

    def _oldest(self, waiting: list[str]) -> str:
        return min(waiting, key=lambda name: self._queues[name].oldest()[0])

    def _owed(self, waiting: list[str], shares: Mapping[str, float]) -> str:
        """Smooth weighted round-robin, so that any run of windows holds the shares to within one.

        Objectives without items neither gain nor lose: the others share their turns.
        """
        total = sum(shares[name] for name in waiting)
        for name in waiting:
            self._credit[name] += shares[name] / total
        chosen = max(waiting, key=self._credit.__getitem__)
        self._credit[chosen] -= 1
        return chosen

    def state_dict(self) -> dict[str, Any]:
        return {
            "queues": {
                name: [[serial, _plain(item)] for serial, item in queue]
                for name, queue in self._queues.items()
            },
            "young": [_plain(item) for item in self._young],
            "credit": dict(self._credit),
            "serial": self._serial,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, entries in state["queues"].items():
            self._queues[name] = ItemQueue(self._config.order)
            for serial, item in entries:
                self._queues[name].append((serial, Item(**item)))
        self._young = deque(Item(**item) for item in state["young"])
        self._credit = dict(state["credit"])
        self._serial = state["serial"]


def _plain(item: Item) -> dict[str, Any]:
    """As dataclasses.asdict, without its deep copies: they take most of a full buffer's checkpoint."""
    return {name: getattr(item, name) for name in _FIELDS}
