"""Finds places in a valid history where a damage would certainly make it wrong, and edits events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from random import Random
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from tests.chaos.checking.operations import Access, Lease, LockHistory, Operation, by_lock
from tests.chaos.history import Event, History, Kind, Mode

INTRUDER: Final = "intruder"
"""A client that does only what a damage makes it do."""

_ROOM: Final = 100
"""A lease must be held for so many nanoseconds for something to be put into it."""


Where: TypeAlias = Callable[[Event], bool]
"""Chooses events."""


class Site:
    """A history that is to be damaged."""

    def __init__(self, history: History, chance: Random) -> None:
        self.events = history.events
        self.chance = chance
        self._locks = by_lock(history)

    # What there is

    def locks(self) -> list[LockHistory]:
        """Return the locks in any order."""
        return self.chance.sample(self._locks, len(self._locks))

    def held(self, mode: Mode | None = None) -> Iterator[Lease]:
        """Yield leases that were held for a while, in any order."""
        for lock in self.locks():
            for lease in self.chance.sample(lock.leases, len(lock.leases)):
                if lease.end - lease.start > _ROOM and mode in (None, lease.acquire.mode):
                    yield lease

    def successions(self, before: Mode | None = None, after: Mode | None = None) -> Iterator[tuple[Lease, Lease]]:
        """Yield leases of different clients that excluded each other, the later one granted certainly later."""
        for lock in self.locks():
            held = [lease for lease in lock.leases if lease.end - lease.start > _ROOM]
            pairs = [(one, other) for one in held for other in held if is_succession(one, other)]
            for one, other in self.chance.sample(pairs, len(pairs)):
                if before in (None, one.acquire.mode) and after in (None, other.acquire.mode):
                    yield one, other

    def accepted(self, kind: Kind) -> Iterator[Access]:
        """Yield reads or writes that the resource took, in any order."""
        for lock in self.locks():
            for access in self.chance.sample(lock.accesses, len(lock.accesses)):
                if access.operation.kind == kind and access.operation.outcome == "ok":
                    yield access

    def writers(self, lock: str, value: int) -> list[Operation]:
        """Return all writes that may have written a value."""
        accesses = next(found.accesses for found in self._locks if found.lock == lock)
        writes = [access.operation for access in accesses if access.operation.kind == "write"]
        return [write for write in writes if write.value == value and write.outcome != "fail"]

    def lost(self, lease: Lease) -> bool:
        """Say whether the client was told that this lease is lost."""
        belongs = of_lease(lease)
        return any(event.kind == "lost" and belongs(event) for event in self.events)

    def unused(self, lock: str, fence: int) -> bool:
        """Say whether nobody was given this fence."""
        return fence > 0 and all(event.fence != fence for event in self.events if event.lock == lock)

    # What can be done

    def edited(self, where: Where, **fields: Any) -> list[Event]:
        """Return the events, those chosen with other fields; in order again."""
        return in_order(replace(event, **fields) if where(event) else event for event in self.events)

    def without(self, where: Where) -> list[Event]:
        return [event for event in self.events if not where(event)]

    def shifted(self, lock: str, above: int, by: int) -> list[Event]:
        """Return the events with all values of one lock above that one shifted."""
        return [
            replace(event, value=event.value + by) if event.lock == lock and event.value > above else event
            for event in self.events
        ]

    def inserted(self, *events: Event) -> list[Event]:
        return in_order([*self.events, *events])


def is_succession(one: Lease, other: Lease) -> bool:
    excluding = one.exclusive or other.exclusive
    return excluding and one.acquire.client != other.acquire.client and one.end <= other.start


def of_lease(lease: Lease) -> Where:
    """Choose what has to do with a lease, apart from the begin of its acquisition, which has no fence yet."""
    acquire = lease.acquire
    wanted = (acquire.client, acquire.lock, acquire.fence)
    return lambda event: (event.client, event.lock, event.fence) == wanted


def releases_of(lease: Lease) -> Where:
    belongs = of_lease(lease)
    return lambda event: event.kind == "release" and belongs(event)


def of(operation: Operation) -> Where:
    return lambda event: (event.client, event.op) == (operation.client, operation.op)


def end_of(operation: Operation) -> Where:
    belongs = of(operation)
    return lambda event: event.phase != "begin" and belongs(event)


def either(one: Where, other: Where) -> Where:
    return lambda event: one(event) or other(event)


def intrusion(kind: Kind, lease: Lease, begin: int, end: int, **fields: Any) -> tuple[Event, Event]:
    """Make an operation of somebody else on the lock of a lease."""
    event = Event(at=begin, client=INTRUDER, op=0, kind=kind, phase="begin", lock=lease.acquire.lock)
    return replace(event, **fields), replace(event, at=end, phase="ok", **fields)


def in_order(events: Any) -> list[Event]:
    return sorted(events, key=attrgetter("at"))
