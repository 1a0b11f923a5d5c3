"""The items of one objective, in the order in which they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from spark_lab.records import Item

# An item with its place in the order of arrival.
Entry = tuple[int, Item]


class ItemQueue:
    """`order`: oldest, newest or hardest (lowest accuracy of the group, then oldest) first.

    Hardest keeps a lane for each accuracy, of which groups of G rollouts have G + 1, so that no
    operation depends on how many items wait. Within a lane, and as the only lane of the other
    orders, items stand as they arrived.
    """

    def __init__(self, order: str):
        self._order = order
        self._lanes: dict[float, deque[Entry]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Entry]:
        """All entries in the order of their arrival."""
        return iter(sorted((e for lane in self._lanes.values() for e in lane), key=lambda e: e[0]))

    def append(self, entry: Entry) -> None:
        """Entries arrive with rising numbers."""
        lane = entry[1].accuracy if self._order == "hardest" else 0.0
        self._lanes.setdefault(lane, deque()).append(entry)
        self._size += 1

    def pop(self) -> Item:
        """Remove and return the next item to be used. The queue must not be empty."""
        return self._pop(min(self._lanes), newest=self._order == "newest")

    def oldest(self) -> Entry:
        return self._lanes[self._oldest_lane()][0]

    def drop_oldest(self) -> None:
        self._pop(self._oldest_lane(), newest=False)

    def _oldest_lane(self) -> float:
        return min(self._lanes, key=lambda lane: self._lanes[lane][0][0])

    def _pop(self, lane: float, *, newest: bool) -> Item:
        entries = self._lanes[lane]
        _, item = entries.pop() if newest else entries.popleft()
        if not entries:
            del self._lanes[lane]
        self._size -= 1
        return item
