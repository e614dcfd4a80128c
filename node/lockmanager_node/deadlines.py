"""Which things are due, and when the next one is: a heap that forgets and postpones cheaply.

Postponing (a renewal) and forgetting (a release) touch only a dictionary; the heap catches up when the old
entry surfaces, and is rebuilt when most of it is stale. Pure: `now` is an argument.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

_REBUILD_ABOVE: Final = 64


class DeadlineQueue(Generic[Item]):
    """Items with one deadline each, in microseconds of one clock.

    The heap holds each instant once, however many items are due then; `_at` has the items, in the order they came.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Item, int] = {}
        self._heap: list[int] = []
        self._at: dict[int, Item | list[Item]] = {}
        self._entries = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, item: Item) -> bool:
        return item in self._deadlines

    def set(self, item: Item, deadline: int) -> None:
        """Give the item this deadline, in place of any it had."""
        before = self._deadlines.get(item)
        self._deadlines[item] = deadline
        if before is None or deadline < before:
            self._push(item, deadline)

    def bring_forward(self, item: Item, deadline: int) -> None:
        """Give the item this deadline unless it has an earlier one."""
        before = self._deadlines.get(item)
        if before is None or deadline < before:
            self.set(item, deadline)

    def discard(self, item: Item) -> None:
        """Forget the item; one that is not here is no error."""
        if self._deadlines.pop(item, None) is not None and self._entries > _REBUILD_ABOVE:
            self._rebuild_if_stale()

    def wake_at(self) -> int | None:
        """Return when to look next: at the earliest deadline or before it; None when nothing waits."""
        return self._heap[0] if self._heap else None

    def next(self) -> int | None:
        """Return the earliest deadline, or None when nothing waits."""
        self._settle()
        return self._heap[0] if self._heap else None

    def pop_due(self, now: int) -> Item | None:
        """Take out and return one item whose deadline is not after `now`, earliest first, or None."""
        if not self._heap or self._heap[0] > now:
            return None  # an entry that is not true any more comes too early, never too late
        self._settle()
        if not self._heap or self._heap[0] > now:
            return None
        item = self._take_first()
        del self._deadlines[item]
        return item

    def _push(self, item: Item, deadline: int) -> None:
        self._entries += 1
        there = self._at.get(deadline)
        if there is None:
            self._at[deadline] = item
            heapq.heappush(self._heap, deadline)
        elif isinstance(there, list):
            there.append(item)
        else:
            self._at[deadline] = [there, item]

    def _first(self) -> Item:
        there = self._at[self._heap[0]]
        return there[0] if isinstance(there, list) else there

    def _take_first(self) -> Item:
        """Take the first entry out, true or not."""
        self._entries -= 1
        there = self._at[self._heap[0]]
        if isinstance(there, list):
            item = there.pop(0)
            if there:
                return item
        else:
            item = there
        del self._at[heapq.heappop(self._heap)]
        return item

    def _settle(self) -> None:
        """Bring a true entry to the top of the heap."""
        while self._heap:
            queued = self._heap[0]
            item = self._first()
            deadline = self._deadlines.get(item)
            if deadline == queued:
                return
            self._take_first()
            if deadline is not None and deadline > queued:
                self._push(item, deadline)

    def _rebuild_if_stale(self) -> None:
        if self._entries <= 2 * len(self._deadlines):
            return
        self._heap, self._at, self._entries = [], {}, 0
        for item, deadline in self._deadlines.items():
            self._push(item, deadline)
