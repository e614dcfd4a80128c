"""Cuts the history of one lock into slices that the exhaustive checker can search, each on its own.

A cut is made at an instant at which the state of any correct lock is known, so that a history is linearizable if and
only if all its slices are:

- when an exclusive holder learns that it holds. It holds then, with the largest fence so far. Any acquisition known of
  later, if its lease was not over then, was granted later; and any other lease known of earlier is over.
- when nothing is held or on its way: all leases have been given back or have run out.

Where neither happens for more than MOST operations, that stretch is left out, and said to be.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from operator import attrgetter
from typing import Final

import msgspec

from tests.chaos.checking.models import UNOWNED, Start, Step
from tests.chaos.checking.operations import Lease, LockHistory, Operation
from tests.chaos.history import FOREVER

ABOUT: Final = 16
"""Stretches between cuts are joined up to so many operations."""

MOST: Final = 64
"""A stretch without a cut may have so many; how long a search takes depends on how many of them overlap."""

_OWN: Final = 0
"""The number, within a slice, of the lease that is held when it starts."""


class Slice(msgspec.Struct, frozen=True, gc=False):
    """Some consecutive operations of one lock; all that is needed to search them."""

    operations: list[Operation]
    steps: list[Step]
    start: Start


class Slicing(msgspec.Struct, frozen=True, gc=False):
    """All slices of one lock; `left_out` counts the operations of stretches that were too long."""

    slices: list[Slice]
    left_out: int = 0


class _Cut(msgspec.Struct, frozen=True, gc=False):
    """An instant at which the state is known."""

    at: int
    start: Start
    holder: Lease | None = None


class _Item(msgspec.Struct, frozen=True, gc=False):
    """An operation; `at` decides into which slice it falls, and that is where its lease begins to count or ends."""

    at: int
    operation: Operation
    lease: Lease | None = None


_BEGINNING: Final = _Cut(-1, Start())


def cut(lock: LockHistory, about: int = ABOUT, most: int = MOST) -> Slicing:
    """Cut into slices of about so many operations, never more than `most`."""
    items = _items(lock)
    instants = [item.at for item in items]
    cuts = [_BEGINNING, *_cuts(lock), _Cut(FOREVER, Start())]
    bounds = [0, *(bisect_right(instants, each.at) for each in cuts[1:])]
    slices, left_out = [], 0
    for first, last in _groups(bounds, about):
        part = items[bounds[first] : bounds[last]]
        if len(part) > most:
            left_out += len(part)
        elif part:
            slices.append(_slice(part, cuts[first]))
    return Slicing(slices, left_out)


def uncut(lock: LockHistory) -> Slice:
    """Take the whole history of a lock as one slice, with its ambiguous acquisitions."""
    ambiguous = [_Item(one.begin, one) for one in lock.ambiguous]
    return _slice(sorted([*_items(lock), *ambiguous], key=attrgetter("at")), _BEGINNING)


def _groups(bounds: list[int], about: int) -> Iterator[tuple[int, int]]:
    """Join neighbouring stretches while they have at most so many operations together; as places in `bounds`."""
    first = 0
    for last in range(1, len(bounds)):
        is_end = last + 1 == len(bounds)
        if is_end or bounds[last + 1] - bounds[first] > about:
            yield first, last
            first = last


def _items(lock: LockHistory) -> list[_Item]:
    """List what the models know of: acquisitions that succeeded, and releases that may have had an effect.

    Ambiguous acquisitions are not searched: nobody gives their leases back, so an order that explains the rest with
    them explains it without them. Of the same instant, acquisitions come first.
    """
    items = [_Item(lease.start, lease.acquire, lease) for lease in lock.leases]
    items += [_Item(one.begin, one, lease) for lease in lock.leases for one in lease.releases if one.outcome != "fail"]
    items += [_Item(one.begin, one) for one in lock.unowned if one.outcome == "ok"]
    return sorted(items, key=attrgetter("at"))


# Where the state is known


def _cuts(lock: LockHistory) -> list[_Cut]:
    cuts = {each.at: each for each in _quiet(lock)} | {each.at: each for each in _held(lock)}
    return [cuts[at] for at in sorted(cuts)]


def _held(lock: LockHistory) -> Iterator[_Cut]:
    """Yield the instants at which a holder learned that it holds exclusively."""
    late = [lease for lease in lock.leases if not lease.held]
    late.sort(key=lambda lease: lease.acquire.begin, reverse=True)
    unclear = -1
    for lease in sorted(lock.leases, key=attrgetter("start")):
        while late and late[-1].acquire.begin <= lease.start:
            unclear = max(unclear, late.pop().start)
        if lease.exclusive and lease.end > lease.start >= unclear:
            fence = lease.acquire.fence
            yield _Cut(lease.start, Start(holder=_OWN, last_exclusive=fence, last=fence), lease)


def _quiet(lock: LockHistory) -> Iterator[_Cut]:
    """Yield the instants at which no lease can stand and none is on its way."""
    over = last = last_exclusive = 0
    for lease, following in pairwise([*sorted(lock.leases, key=lambda lease: lease.acquire.begin), None]):
        assert lease is not None
        over = max(over, _over(lease))
        last = max(last, lease.acquire.fence)
        last_exclusive = max(last_exclusive, lease.acquire.fence if lease.exclusive else 0)
        if following and following.acquire.begin > over:
            yield _Cut(over, Start(last_exclusive=last_exclusive, last=last))


def _over(lease: Lease) -> int:
    """Return from when on a lease surely need not stand any more."""
    released = [one.end for one in lease.releases if one.outcome == "ok"]
    return max(lease.start, min(lease.until, lease.lost, *released))


# What happens in between


def _slice(items: list[_Item], before: _Cut) -> Slice:
    return Slice([item.operation for item in items], list(_Steps(before.holder).of(items)), before.start)


class _Steps:
    """Turns the operations after a cut into steps.

    What began before the cut, or ends after the next one, need not be trimmed: no other step of the slice lies there.
    """

    def __init__(self, holder: Lease | None) -> None:
        self._known = [holder] if holder else []
        self._numbers = {id(lease): _OWN for lease in self._known}
        self._next = _OWN + 1

    def of(self, items: list[_Item]) -> Iterator[Step]:
        for item in items:
            yield from self._acquire(item) if item.operation.kind == "acquire" else self._release(item)
        for lease in self._known:
            yield Step(kind="expire", lease=self._numbers[id(lease)], begin=min(lease.until, lease.lost))

    def _acquire(self, item: _Item) -> Iterator[Step]:
        operation, number = item.operation, self._next
        self._next += 1
        yield Step(
            kind="acquire",
            lease=number,
            begin=operation.begin,
            end=operation.end,
            exclusive=operation.mode == "exclusive",
            fence=operation.fence,
        )
        if item.lease:
            self._known.append(item.lease)
            self._numbers[id(item.lease)] = number
        else:
            yield Step(kind="expire", lease=number, begin=operation.begin)

    def _release(self, item: _Item) -> Iterator[Step]:
        """Yield the release of a lease that stood in this slice; that of any other has no effect any more."""
        operation = item.operation
        if item.lease is None:
            yield Step(kind="release", lease=UNOWNED, begin=operation.begin, end=operation.end)
        elif id(item.lease) in self._numbers:
            number = self._numbers[id(item.lease)]
            yield Step(kind="release", lease=number, begin=operation.begin, end=operation.end)
