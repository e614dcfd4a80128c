"""When which lease is renewed: one schedule for everything a coordinator waits for or holds. Pure.

The period is a third of the ttl, computed and never a setting. Everything with the same period is due in the order
in which it was added or renewed, so one ordered dictionary per period is enough, and leaving costs nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


def period(ttl: int) -> int:
    """Return how long after one renewal the next is due, both in microseconds."""
    return ttl // 3


class Renewals(Generic[Item]):
    """Items with the period in which each is renewed."""

    def __init__(self) -> None:
        self._periods: dict[Item, int] = {}
        self._due: dict[int, dict[Item, int]] = {}

    def __len__(self) -> int:
        return len(self._periods)

    def set(self, item: Item, ttl: int, now: int) -> int:
        """Renew the item every third of `ttl` from now on; returns when it is due first."""
        if item in self._periods:
            self.discard(item)
        every = self._periods[item] = period(ttl)
        items = self._due.get(every)
        if items is None:
            items = self._due[every] = {}
        due = items[item] = now + every
        return due

    def discard(self, item: Item) -> None:
        """Renew the item no more; one that is not here is no error."""
        every = self._periods.pop(item, None)
        if every is not None:
            items = self._due[every]
            del items[item]
            if not items:
                del self._due[every]

    def due(self, item: Item) -> int | None:
        """Return when the item is renewed next, or None."""
        every = self._periods.get(item)
        return None if every is None else self._due[every][item]

    def next(self) -> int | None:
        """Return when the next item is due, or None."""
        return min((next(iter(items.values())) for items in self._due.values()), default=None)

    def take_due(self, now: int) -> list[Item]:
        """Return what is due, and schedule it again a period from now."""
        due = []
        for every, items in self._due.items():
            while items[item := next(iter(items))] <= now:
                del items[item]
                items[item] = now + every
                due.append(item)
        return due

    def shortest_ttl(self) -> int | None:
        """Return the shortest ttl (a multiple of three microseconds) of all items, or None."""
        return 3 * min(self._due) if self._due else None
