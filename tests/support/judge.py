"""Watches who held which lock from when to when, and judges it afterwards: one at a time, and fences that rise.

Instants are microseconds of the clock that all processes of one machine share. A hold begins after its holder knows of
it and ends before the holder gives it up, so two that overlap here did so in truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Final, Self

from lockmanager import Coordinator, Lease
from lockmanager.durations import microseconds, seconds
from tests.support.quick_cluster import now
from tests.support.waiting import until

ROUNDS: Final = 3
"""How many more times each contender must get each lock before the next thing happens."""

_PROGRESS_DEADLINE: Final = 30.0
_REST: Final = 0.005


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody could rely on a lock from one instant to the other."""

    name: str
    who: str
    fence: int
    acquired: int
    ended: int


@dataclass(slots=True)
class Judge:
    """All holds of one cluster, and what must be true of them."""

    holds: list[Hold] = field(default_factory=list)

    def note(self, hold: Hold) -> None:
        self.holds.append(hold)

    def of(self, name: str) -> list[Hold]:
        """Return the holds of one lock, in the order in which they were acquired."""
        return sorted((hold for hold in self.holds if hold.name == name), key=lambda hold: hold.acquired)

    def check(self) -> None:
        """Fail unless each lock had one holder at a time, and each holder a larger fence than the one before."""
        for name in {hold.name for hold in self.holds}:
            for before, after in pairwise(self.of(name)):
                assert before.ended <= after.acquired, f"two hold {name!r}: {before} and {after}"
                assert before.fence < after.fence, f"the fence of {name!r} does not rise: {before} and {after}"

    def longest_pause(self, since: int) -> float:
        """Return the most seconds, from an instant on, for which nobody acquired one of the locks."""
        pauses = [0]
        for name in {hold.name for hold in self.holds}:
            instants = [since, *(hold.acquired for hold in self.of(name) if hold.acquired > since)]
            pauses += [after - before for before, after in pairwise(instants)]
        return seconds(max(pauses))


class Watch:
    """One lease as its holder sees it, from its acquisition to `end`."""

    def __init__(self, judge: Judge, lease: Lease, who: str) -> None:
        self._judge, self._lease, self._who = judge, lease, who
        self._acquired = now()
        self._until = self._acquired + microseconds(lease.remaining())
        self._lost_at: int | None = None
        lease.call_when_lost(self._lost)

    def _lost(self) -> None:
        self._lost_at = now()

    def end(self) -> None:
        """Note the hold; call it before the lease is released."""
        ended = now() if self._lease.valid else self._until
        if self._lost_at is not None:
            ended = min(ended, self._lost_at)
        self._judge.note(Hold(self._lease.name, self._who, self._lease.fence, self._acquired, ended))


class Contender:
    """Acquires and releases one lock over and over; any error ends the contest."""

    def __init__(self, coordinator: Coordinator, who: str, name: str, judge: Judge, conditions: Conditions) -> None:
        self.rounds = 0
        self._coordinator, self._who, self._name = coordinator, who, name
        self._judge, self._conditions = judge, conditions

    async def contend(self) -> None:
        """Never returns."""
        while True:
            await self._hold()
            self.rounds += 1
            await asyncio.sleep(_REST)

    async def _hold(self) -> None:
        wanted = self._conditions
        lease = await self._coordinator.acquire(self._name, ttl=wanted.ttl, wait=wanted.wait)
        watch = Watch(self._judge, lease, self._who)
        try:
            await asyncio.sleep(wanted.hold)
        finally:
            watch.end()
            lease.release_soon()


@dataclass(frozen=True, slots=True)
class Conditions:
    """How contenders acquire: `ttl`, `wait` and the length of a hold in seconds."""

    ttl: float = 2.0
    wait: float | None = 20.0
    hold: float = 0.02


class Contest:
    """Several coordinators that contend for the same locks while the block runs; at its end it is judged."""

    def __init__(
        self,
        coordinators: Iterable[Coordinator],
        names: Iterable[str] = ("orders/42", "orders/43"),
        conditions: Conditions | None = None,
    ) -> None:
        self.judge = Judge()
        self.contenders = [
            Contender(coordinator, f"coordinator {number}", name, self.judge, conditions or Conditions())
            for number, coordinator in enumerate(coordinators)
            for name in names
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(contender.contend()) for contender in self.contenders]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.check_alive()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:
            self.judge.check()

    def check_alive(self) -> None:
        """Raise what ended a contender."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def goes_on(self, rounds: int = ROUNDS) -> None:
        """Wait until every contender got its lock some more times."""
        goals = [contender.rounds + rounds for contender in self.contenders]

        def reached() -> bool:
            self.check_alive()
            return all(one.rounds >= goal for one, goal in zip(self.contenders, goals, strict=True))

        await until(reached, f"{rounds} more acquisitions of every contender", within=_PROGRESS_DEADLINE)
