"""Makes valid histories: clients with all their bad luck, in invented time, at a lock that is known to be correct.

Clients wait in line, give up, lose answers, stand still past their leases, renew, are told of a loss, and die. Each
is a generator that yields how long it takes until it goes on. The same seed makes the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from tests.chaos.checking.reference import ReferenceCounter, ReferenceLock, Request
from tests.chaos.history import Event, History, Kind, Mode, Phase

TTL: Final = 2_000_000
"""Nanoseconds; clients that are well need a good deal less."""

_STEP: Final = 50_000
"""About as long as a message takes."""

_LATEST_FENCES: Final = 1_000
"""Tickets are this far apart, so that fences that nobody was given lie between those that somebody was."""

Delays: TypeAlias = Iterator[int]


class Shape(NamedTuple):
    """How much happens; `trouble` is the chance of each thing that can go wrong, at each opportunity."""

    clients: int = 4
    locks: int = 1
    rounds: int = 5
    shared: float = 0.3
    trouble: float = 0.06


def valid_history(seed: int, shape: Shape | None = None) -> History:
    """Make one history."""
    return _Scene(Random(seed), shape or Shape()).play()


class _Died(Exception):
    """A client is killed."""


class _Scene:
    """One run: the locks, the clients and the time."""

    def __init__(self, chance: Random, shape: Shape) -> None:
        self.chance, self.shape = chance, shape
        self.now = 1_000_000_000
        self.events: list[Event] = []
        self.locks = {f"lock {number}": ReferenceLock() for number in range(shape.locks)}
        self.counters = {name: ReferenceCounter() for name in self.locks}
        self.tickets = count(_LATEST_FENCES, _LATEST_FENCES)
        self._going: list[tuple[int, int, Delays]] = []
        self._numbers = count()

    def play(self) -> History:
        for number in range(self.shape.clients):
            self.start(_Client(self, f"client {number}").live(self.shape.rounds))
        while self._going:
            self.now, _, going = heappop(self._going)
            self._go_on(going)
        self._look()
        return History(events=self.events)

    def start(self, going: Delays) -> None:
        self._go_on(going)

    def _go_on(self, going: Delays) -> None:
        delay = next(going, None)
        if delay is not None:
            heappush(self._going, (self.now + delay, next(self._numbers), going))

    def _look(self) -> None:
        """Read every counter once nobody writes any more."""
        for number, (name, counter) in enumerate(self.counters.items()):
            look = Event(at=self.now + 1, client="judge", op=number, kind="read", phase="begin", lock=name)
            seen = replace(look, at=look.at + 1, phase="ok", value=counter.value)
            self.events += [look, seen]
            self.now = seen.at

    def unlucky(self, factor: float = 1.0) -> bool:
        return self.chance.random() < self.shape.trouble * factor


class _Client:
    """One client; what it knows of its lease is in `_until`, what the lock knows in `_request`."""

    def __init__(self, scene: _Scene, name: str) -> None:
        self._scene, self._name = scene, name
        self._ops = count()
        self._lock = ""
        self._request = Request("exclusive", 0, TTL)
        self._until = 0

    def live(self, rounds: int) -> Delays:
        """Do so many rounds; whoever dies is followed by another one, who does the rest."""
        for number in range(rounds):
            yield self._some(8)
            try:
                yield from self._round()
            except _Died:
                following = _Client(self._scene, f"{self._name}'")
                return self._scene.start(following.live(rounds - number - 1))

    def _round(self) -> Delays:
        self._lock = self._scene.chance.choice(list(self._scene.locks))
        mode: Mode = "shared" if self._scene.chance.random() < self._scene.shape.shared else "exclusive"
        self._request = Request(mode, next(self._scene.tickets), TTL)
        self._until = 0
        held: list[bool] = []
        yield from self._acquire(held)
        if held:
            yield from self._work()
            yield from self._release()

    # Acquisition

    def _acquire(self, held: list[bool]) -> Delays:
        op = self._note("acquire", "begin")
        yield self._some()
        self._reference.ask(self._request, self._scene.now)
        patience = self._scene.now + self._some(40)
        while not self._request.deadline and self._scene.now < patience:
            yield self._some(4)
            self._reference.advance(self._scene.now)
        yield from self._answer(op, held) if self._request.deadline else self._give_up(op)

    def _answer(self, op: int, held: list[bool]) -> Delays:
        """Learn that the lock is held; late, perhaps, or never."""
        yield self._some()
        if self._scene.unlucky():
            yield 2 * TTL
        if self._scene.unlucky():
            self._note("acquire", "ambiguous", op)
            return
        self._rely()
        held.append(True)
        self._note("acquire", "ok", op, fence=self._request.fence, until=self._until)

    def _give_up(self, op: int) -> Delays:
        """Leave the line; a client that cannot tell the lock so may still be granted it."""
        if self._scene.unlucky(4):
            self._note("acquire", "ambiguous", op)
            return
        yield self._some()
        self._reference.end(self._request, self._scene.now)
        self._note("acquire", "fail", op)

    def _rely(self) -> None:
        """Take over what the lock promised, less a drift, unless that is over already."""
        until = self._request.deadline - self._request.ttl // 100
        self._until = until if until > self._scene.now else 0

    # Work

    def _work(self) -> Delays:
        for _ in range(self._scene.chance.randint(0, 3)):
            accepted: list[int] = []
            yield from self._trouble()
            yield from self._access("read", 0, accepted)
            if accepted and self._request.mode == "exclusive":
                yield from self._trouble()
                yield from self._access("write", accepted.pop() + 1, accepted)
            if not accepted:
                return
            yield from self._renew()

    def _trouble(self) -> Delays:
        yield self._some()
        if self._scene.unlucky():
            raise _Died
        if self._scene.unlucky():
            yield self._scene.chance.randint(TTL // 2, 2 * TTL)
        if (
            self._until
            and self._scene.now > self._until - self._request.ttl // 10
            and self._scene.chance.random() < 0.7
        ):
            self._note("lost", "ok", fence=self._request.fence)

    def _access(self, kind: Kind, value: int, accepted: list[int]) -> Delays:
        """Read or write; the answer may get lost, and a client that dies leaves its message on the way."""
        op = self._note(kind, "begin", fence=self._request.fence, value=value)
        if self._scene.unlucky():
            self._scene.start(self._arrive(kind, value, self._some(20)))
            raise _Died
        yield self._some()
        arrives = not self._scene.unlucky(0.5)
        answer = self._apply(kind, value) if arrives else None
        yield self._some()
        if not arrives or self._scene.unlucky():
            self._note(kind, "ambiguous", op, fence=self._request.fence)
            return
        phase: Phase = "fail" if answer is None else "ok"
        self._note(kind, phase, op, fence=self._request.fence, value=answer or 0)
        accepted += [] if answer is None else [answer]

    def _arrive(self, kind: Kind, value: int, delay: int) -> Delays:
        yield delay
        self._apply(kind, value)

    def _apply(self, kind: Kind, value: int) -> int | None:
        counter, fence = self._scene.counters[self._lock], self._request.fence
        if kind == "read":
            return counter.read(fence, self._request.mode)
        return value if counter.write(value, fence) else None

    def _renew(self) -> Delays:
        if self._scene.chance.random() < 0.3:
            yield self._some()
            renewed = self._reference.renew(self._request, self._scene.now)
            yield self._some()
            if renewed:
                self._rely()

    # Release

    def _release(self) -> Delays:
        until = self._until if self._until > self._scene.now else 0
        op = self._note("release", "begin", fence=self._request.fence, until=until)
        yield self._some()
        if not self._scene.unlucky():
            self._reference.end(self._request, self._scene.now)
            yield self._some()
        elif self._scene.unlucky(8):
            raise _Died
        else:
            self._note("release", "ambiguous", op, fence=self._request.fence)
            return
        phase: Phase = "ambiguous" if self._scene.unlucky() else "ok"
        self._note("release", phase, op, fence=self._request.fence)

    # What all of it needs

    @property
    def _reference(self) -> ReferenceLock:
        return self._scene.locks[self._lock]

    def _some(self, steps: int = 1) -> int:
        return self._scene.chance.randint(1, 2 * steps * _STEP)

    def _note(
        self, kind: Kind, phase: Phase, op: int | None = None, *, fence: int = 0, value: int = 0, until: int = 0
    ) -> int:
        number = next(self._ops) if op is None else op
        self._scene.events.append(
            Event(
                at=self._scene.now,
                client=self._name,
                op=number,
                kind=kind,
                phase=phase,
                lock=self._lock,
                mode=self._request.mode,
                fence=fence,
                value=value,
                until=until,
            )
        )
        return number
