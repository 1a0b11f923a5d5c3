"""Recycled items wait here, first in first out, until a judge window takes them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from spark_lab.records import Item


class RecycleBuffer:
    """One queue for each objective, at most `capacity` items each: the oldest leave first.

    Every operation costs time in proportion to the items moved, whatever the buffer holds. The
    buffer is replicated on every rank: same calls, same content.
    """

    def __init__(self, capacity: int, shares: Mapping[str, float], *, fifo: bool):
        self._queues: dict[str, deque[tuple[int, Item]]] = {name: deque() for name in shares}
        self._capacity = capacity
        self._shares = dict(shares)
        self._credit = {name: 0.0 for name in shares}
        self._fifo = fifo
        self._serial = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def push(self, items: Iterable[Item]) -> int:
        """Append the items; returns how many old ones fell out at the other end."""
        evicted = 0
        for item in items:
            queue = self._queues[item.objective]
            queue.append((self._serial, item))
            self._serial += 1
            if len(queue) > self._capacity:
                queue.popleft()
                evicted += 1
        return evicted

    def take(self, count: int) -> list[Item]:
        """Remove and return up to `count` items, by age alone or by the objectives' shares."""
        taken = []
        while len(taken) < count and (waiting := [n for n, q in self._queues.items() if q]):
            name = self._oldest(waiting) if self._fifo else self._owed(waiting)
            if name is None:
                break
            taken.append(self._queues[name].popleft()[1])
        return taken

    def _oldest(self, waiting: list[str]) -> str:
        return min(waiting, key=lambda name: self._queues[name][0][0])

    def _owed(self, waiting: list[str]) -> str | None:
        """Smooth weighted round-robin, so that any run of windows holds the shares to within one.

        Objectives without items neither gain nor lose: the others share their turns.
        """
        total = sum(self._shares[name] for name in waiting)
        if total == 0:
            return None
        for name in waiting:
            self._credit[name] += self._shares[name] / total
        chosen = max(waiting, key=self._credit.__getitem__)
        self._credit[chosen] -= 1
        return chosen

    def sizes(self) -> Counter[str]:
        return Counter({name: len(queue) for name, queue in self._queues.items()})

    def state_dict(self) -> dict[str, Any]:
        return {
            "queues": {
                name: [[serial, asdict(item)] for serial, item in queue]
                for name, queue in self._queues.items()
            },
            "credit": dict(self._credit),
            "serial": self._serial,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._queues = {
            name: deque((serial, Item(**item)) for serial, item in queue)
            for name, queue in state["queues"].items()
        }
        self._credit = dict(state["credit"])
        self._serial = state["serial"]
