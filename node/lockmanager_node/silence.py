"""Which sessions have been silent for too long: the rule behind "a dead waiter leaves every line". Pure.

Only a session that waits for something is watched: the silence of one that merely holds leases changes nothing
before their deadlines.
"""

from __future__ import annotations

from collections.abc import Callable

from lockmanager.durations import SILENT_HEARTBEATS, heartbeat

from .deadlines import DeadlineQueue
from .line import Owner


def patience(ttl: int) -> int:
    """Return how long a session whose shortest waiting ttl is `ttl` may be silent, in microseconds."""
    return SILENT_HEARTBEATS * heartbeat(ttl)


class SilenceWatch:
    """When each session was heard last, and which of the waiting ones are overdue."""

    def __init__(self, shortest_waiting_ttl: Callable[[Owner], int | None]) -> None:
        self._shortest_waiting_ttl = shortest_waiting_ttl
        self._heard: dict[Owner, int] = {}
        self._deadlines: DeadlineQueue[Owner] = DeadlineQueue()

    def heard(self, owner: Owner, now: int) -> None:
        """Note that a frame of this session arrived."""
        self._heard[owner] = now

    def waits(self, owner: Owner, ttl: int, now: int) -> None:
        """Note that this session waits for a lease of `ttl`."""
        if owner in self._heard:
            self._deadlines.bring_forward(owner, now + patience(ttl))

    def forget(self, owner: Owner) -> None:
        """Watch this session no longer."""
        self._heard.pop(owner, None)
        self._deadlines.discard(owner)

    def next_deadline(self) -> int | None:
        """Return when `overdue` has something to look at next."""
        return self._deadlines.next()

    def overdue(self, now: int) -> list[Owner]:
        """Return, and forget, the waiting sessions that missed three heartbeats."""
        silent = []
        while (owner := self._deadlines.pop_due(now)) is not None:
            shortest = self._shortest_waiting_ttl(owner)
            if shortest is None:
                continue
            deadline = self._heard[owner] + patience(shortest)
            if deadline > now:
                self._deadlines.set(owner, deadline)
            else:
                self.forget(owner)
                silent.append(owner)
        return silent
