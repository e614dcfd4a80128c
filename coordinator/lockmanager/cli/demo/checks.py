"""Whether the demonstration kept every promise: a pure function over what its processes recorded.

Nothing is assumed: each promise is looked for in the records, and a promise that the records say nothing about has
not been kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .events import Ended, Event, Held, Lost, NodeKilled, NodeStarted, Paused, Resumed, Wrote

IN_LINE: Final = 200_000
"""Microseconds after which somebody who asked certainly stands in line on a majority of the nodes."""

BACK_IN_LINE: Final = 1_000_000
"""The same for somebody whose process stood still, as its nodes have to be connected to again."""

BREAKS: Final = ("fences", "order", "guard")
"""What can be broken on purpose, to show that the checks notice."""

_NEVER: Final = 1 << 62

Row = tuple[int, str]
"""Fence and worker of a write the table accepted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one promise was kept, and what shows it."""

    promise: str
    kept: bool
    detail: str


def check(events: Collection[Event], rows: Sequence[Row], workers: Collection[str]) -> list[Verdict]:
    """Return a verdict on every promise; `rows` in the order the table took them."""
    held = sorted((event for event in events if isinstance(event, Held)), key=lambda one: one.at)
    writes = [event for event in events if isinstance(event, Wrote)]
    return [
        _everyone(held, workers),
        _one_holder(held, events),
        _fences(held, writes, rows),
        _stale_write(writes, rows),
        _told(events),
        _order(held, events),
        _outage(held, events),
    ]


def _everyone(held: Sequence[Held], workers: Collection[str]) -> Verdict:
    without = sorted(set(workers) - {one.worker for one in held})
    detail = f"never: {', '.join(without)}" if without else f"all {len(workers)}"
    return Verdict("every worker got the lock", not without, detail)


def _one_holder(held: Sequence[Held], events: Collection[Event]) -> Verdict:
    ends: dict[int, int] = {}
    for event in events:
        if isinstance(event, Ended | Lost | Paused):
            # A process that stands still does nothing: what it does afterwards is the stale write.
            ends[event.fence] = min(event.at, ends.get(event.fence, _NEVER))
    overlaps = [(one, other) for one, other in pairwise(held) if ends.get(one.fence, _NEVER) > other.at]
    detail = f"{len(held)} holds, none overlaps another"
    if overlaps:
        one, other = overlaps[0]
        detail = f"{other.worker} (fence {other.fence}) held it before {one.worker} (fence {one.fence}) had ended"
    return Verdict("one holder at a time", bool(held) and not overlaps, detail)


def _fences(held: Sequence[Held], writes: Sequence[Wrote], rows: Sequence[Row]) -> Verdict:
    promise = "fences strictly rising"
    for where, fences in (("as granted", [one.fence for one in held]), ("in the table", [row[0] for row in rows])):
        back = next(((one, other) for one, other in pairwise(fences) if other <= one), None)
        if back is not None:
            return Verdict(promise, kept=False, detail=f"{where}, {back[1]} came after {back[0]}")
    told = sorted((one.fence, one.worker) for one in writes if one.accepted)
    if not rows or sorted(rows) != told:
        return Verdict(promise, kept=False, detail=f"the table has {len(rows)} writes, the workers told {len(told)}")
    return Verdict(promise, kept=True, detail=f"{rows[0][0]} to {rows[-1][0]} in {len(rows)} writes")


def _stale_write(writes: Sequence[Wrote], rows: Sequence[Row]) -> Verdict:
    promise = "stale writes refused"
    planted = [one for one in writes if one.planted]
    refused = [one for one in writes if not one.accepted]
    if len(planted) != 1:
        return Verdict(promise, kept=False, detail=f"{len(planted)} were planted instead of one")
    stale = planted[0]
    if stale.accepted or (stale.fence, stale.worker) in rows:
        return Verdict(promise, kept=False, detail=f"{stale.worker} wrote with the old fence {stale.fence}")
    others = [one for one in refused if not one.planted]
    if others:
        return Verdict(promise, kept=False, detail=f"{others[0].worker} was refused with fence {others[0].fence}")
    return Verdict(promise, kept=True, detail=f"1 of 1: {stale.worker} came with fence {stale.fence}")


def _told(events: Collection[Event]) -> Verdict:
    promise = "the late worker was told of its loss"
    paused = [event.fence for event in events if isinstance(event, Paused)]
    lost = [event.fence for event in events if isinstance(event, Lost)]
    if not paused or lost != paused:
        return Verdict(promise, kept=False, detail=f"paused with {paused or 'none'}, lost {lost or 'none'}")
    return Verdict(promise, kept=True, detail=f"fence {lost[0]}, and nobody else lost a lease")


def _order(held: Sequence[Held], events: Collection[Event]) -> Verdict:
    """Look for somebody who was overtaken: certainly in line, with the smaller ticket, when another got the lock."""
    promise, compared = "order kept by ticket", 0
    for number, first in enumerate(held):
        for later in held[number + 1 :]:
            if not _in_line(later, first.at, events):
                continue
            compared += 1
            if later.ticket < first.ticket:
                waited = (first.at - later.asked) / 1_000_000
                detail = f"{first.worker} got it while {later.worker}, with a smaller ticket, waited for {waited:.3f} s"
                return Verdict(promise, kept=False, detail=detail)
    return Verdict(promise, kept=compared > 0, detail=f"{compared} pairs in line together")


def _in_line(waiter: Held, at: int, events: Collection[Event]) -> bool:
    """Say whether somebody who got the lock later certainly stood in line at that instant."""
    since = waiter.asked + IN_LINE
    for event in events:
        if isinstance(event, Paused) and event.process == waiter.process and event.at < at:
            resumed = _resumed(event, events)
            if resumed > waiter.asked:
                since = max(since, resumed + BACK_IN_LINE)
    return since < at


def _resumed(paused: Paused, events: Collection[Event]) -> int:
    ends = (one.at for one in events if isinstance(one, Resumed) and one.process == paused.process)
    return min((at for at in ends if at >= paused.at), default=_NEVER >> 1)


def _outage(held: Sequence[Held], events: Collection[Event]) -> Verdict:
    promise = "went on without a killed node"
    killed = next((event for event in events if isinstance(event, NodeKilled)), None)
    started = next((event for event in events if isinstance(event, NodeStarted)), None)
    if killed is None or started is None or started.node != killed.node:
        return Verdict(promise, kept=False, detail="no node was killed and started again")
    meanwhile = sum(killed.at < one.at < started.at for one in held)
    after = sum(one.at > started.at for one in held)
    detail = f"{killed.node}: {meanwhile} acquisitions while it was down, {after} after its return"
    return Verdict(promise, kept=meanwhile > 0 and after > 0, detail=detail)
