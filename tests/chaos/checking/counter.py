"""Checks the resource that a lock guards: a counter that takes each fence in its turn and loses no update.

Each value is written once, so the values order the writes. An ambiguous write has taken effect if nothing else
explains what was seen after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from tests.chaos.checking.operations import LockHistory, Operation


def accesses(lock: LockHistory) -> Iterator[str]:
    """Tell everything that is wrong with the accesses to one lock's resource."""
    yield from _owners(lock)
    yield from _fences(lock)
    yield from _steps(lock)
    chain = _Chain([access.operation for access in lock.accesses])
    yield from chain.gaps()
    yield from chain.turns()
    yield from chain.reads()


def _owners(lock: LockHistory) -> Iterator[str]:
    """Tell of accepted accesses under a fence that is not the client's, and of writes under a shared lease."""
    for access in lock.accesses:
        if access.operation.outcome != "ok" or not _is_guarded(access.operation):
            continue
        if not access.vouched:
            yield f"{access.operation} was accepted; that client never acquired a lease with this fence"
        elif access.lease and access.operation.kind == "write" and not access.lease.exclusive:
            yield f"{access.operation} was accepted under a {access.lease}"


def _is_guarded(operation: Operation) -> bool:
    return operation.kind == "write" or operation.fence > 0


def _fences(lock: LockHistory) -> Iterator[str]:
    """Tell of accesses accepted although one with a larger fence had been accepted before."""
    accepted = [
        access for access in lock.accesses if access.operation.outcome == "ok" and _is_guarded(access.operation)
    ]
    ended = sorted(accepted, key=lambda access: access.operation.end)
    largest: Operation | None = None
    largest_exclusive: Operation | None = None
    number = 0
    for access in accepted:
        while ended[number].operation.end < access.operation.begin:
            before = ended[number].operation
            number += 1
            largest = _larger(largest, before)
            largest_exclusive = _larger(largest_exclusive, before) if before.mode == "exclusive" else largest_exclusive
        rival = largest if access.operation.mode == "exclusive" else largest_exclusive
        if rival and rival.fence > access.operation.fence:
            yield f"{access.operation} was accepted after {rival}"


def _larger(one: Operation | None, other: Operation) -> Operation:
    return other if one is None or other.fence > one.fence else one


def _steps(lock: LockHistory) -> Iterator[str]:
    """Tell of writes that are not one more than what their own lease saw last."""
    seen: dict[int, int] = {}
    for access in lock.accesses:
        operation = access.operation
        if access.lease is None or operation.outcome != "ok":
            continue
        key = id(access.lease)
        before = seen.get(key)
        if operation.kind == "write" and (before is None or operation.value != before + 1):
            yield f"{operation} is not one more than its lease saw last, {'nothing' if before is None else before}"
        seen[key] = operation.value


class _Chain:
    """The writes in the order of their values, ambiguous ones where nothing else fits, and what reads say of them."""

    def __init__(self, operations: list[Operation]) -> None:
        self._read = [one for one in operations if one.kind == "read" and one.outcome == "ok"]
        self._accepted: dict[int, list[Operation]] = {}
        self._maybe: dict[int, list[Operation]] = {}
        for one in operations:
            if one.kind == "write" and one.outcome != "fail":
                writes = self._accepted if one.outcome == "ok" else self._maybe
                writes.setdefault(one.value, []).append(one)
        self._last = max([*self._accepted, *(one.value for one in self._read)], default=0)

    def gaps(self) -> Iterator[str]:
        """Tell of values written twice, so that one update was lost, and of values that nobody can have written."""
        before = 0
        for value in [*self._values(), self._last + 1]:
            writes = self._accepted.get(value, [])
            if len(writes) > 1:
                yield f"an update was lost: {' and '.join(map(str, writes))} were both accepted"
            if value != before + 1:
                yield f"nobody wrote {before + 1}..{value - 1}, and yet the resource came to {self._last}"
            before = value

    def turns(self) -> Iterator[str]:
        """Tell of writes whose values contradict the order of their fences or of their times."""
        before: Operation | None = None
        begun: Operation | None = None
        for value in self._values():
            for write in self._accepted.get(value, []):
                if begun and begun.begin > write.end:
                    yield f"{write} was over before {begun} began, whose value is smaller"
            writes = self._accepted.get(value) or self._maybe[value]
            fitting = [write for write in writes if before is None or write.fence >= before.fence]
            if not fitting:
                yield f"{' or '.join(map(str, writes))} took effect on top of {before}"
            before = min(fitting or writes, key=attrgetter("fence"))
            first = min(writes, key=attrgetter("begin"))
            begun = first if begun is None or first.begin > begun.begin else begun

    def _values(self) -> list[int]:
        return sorted(value for value in self._accepted.keys() | self._maybe.keys() if value <= self._last)

    def reads(self) -> Iterator[str]:
        """Tell of reads that miss a write that was over, or see one that had not begun."""
        ended = sorted((one for writes in self._accepted.values() for one in writes), key=attrgetter("end"))
        largest: Operation | None = None
        number = 0
        for read in self._read:
            while number < len(ended) and ended[number].end < read.begin:
                largest = ended[number] if largest is None or ended[number].value > largest.value else largest
                number += 1
            if largest and largest.value > read.value:
                yield f"{read} does not see {largest} before it"
            writers = self._accepted.get(read.value, []) + self._maybe.get(read.value, [])
            if not writers and read.value:
                yield f"{read} sees a value that nobody wrote"
            if writers and min(writer.begin for writer in writers) > read.end:
                yield f"{read} sees {writers[0]} before it begins"
