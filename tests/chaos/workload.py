"""What a client does: cycles on locks that are contended, held for long, shared or private, noted as they happen.

Each `Worker` is one thread of control, one client of the history. Instants are read in such an order that a process
that is stopped between two steps claims less than is true, never more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

import msgspec

from lockmanager import Coordinator, LeaseLost, NotAcquired, QuorumUnavailable
from lockmanager.lease import Lease
from tests.chaos.history import Event, Kind, Mode, Phase, Recorder, now
from tests.chaos.resource import KINDS, ResourceConnection

CONTENDED: Final = ("contended/1", "contended/2", "contended/3")
HELD: Final = ("held/1", "held/2", "held/3")
SHARED: Final = ("shared/1", "shared/2")
TTL: Final = (1.0, 2.0)

_MADE_UP_FOR: Final = 3.0
"""Seconds of missed cycles that are done later."""

_PRIVATE: Final = 60
"""Names of each client's own."""

_SHORT: Final = 0.01
_LONG: Final = 2 * TTL[1]
_LOOK: Final = 0.1
"""Seconds of a short and of a long hold, and between two looks at what a lease promises."""

_CONFIRMED: Final = 0.25
"""Seconds within which a release that returns was confirmed: it gives up waiting for that a little later."""

_HANGS: Final = 30
"""Seconds beyond its wait after which an acquisition that has not ended counts as hung."""


TOGETHER: Final = {"private": 8}
"""How many cycles of a sort are begun at once; they share frames and commits, so they cost little."""


class Pace(msgspec.Struct, frozen=True):
    """How often per second one client tries to begin cycles of each sort."""

    contended: float = 3.0
    held: float = 1.0
    shared: float = 2.0
    private: float = 3.0
    efficiency: float = 0.5


@dataclass(frozen=True)
class Surroundings:
    """What the workers of one process share. `on_violation` is told what must not happen and did."""

    recorders: dict[str, Recorder]
    resource: ResourceConnection
    between: Callable[[str], Awaitable[None]]
    """Awaited between a read and the write that follows it."""
    on_violation: Callable[[str], None]
    stopping: asyncio.Event


class Worker:
    """One client of the history: `name` is its own, `slot` is inherited by who takes its place when it is killed."""

    def __init__(self, name: str, slot: str, coordinator: Coordinator, around: Surroundings, chance: Random) -> None:
        self.name = name
        self._slot = slot
        self.efficiency_cycles = 0
        self._coordinator = coordinator
        self._around = around
        self._chance = chance
        self._numbers = count(1)
        self._until = 0
        """Until when the lease in hand promised to be valid, when it was looked at last; it may be over by now."""

    # Cycles

    async def contended(self) -> None:
        """Add one to what a contended lock guards."""
        lock = self._chance.choice(CONTENDED)
        lease = await self._acquire(lock, wait=self._some_wait())
        if lease is not None:
            try:
                await self._add_one(lease, self._chance.uniform(0, _SHORT))
            finally:
                await self._release(lease)

    async def held(self) -> None:
        """Hold a lock that others wait for beyond a ttl, so that whatever happens happens to a holder."""
        lock = self._chance.choice(HELD)
        lease = await self._acquire(lock, wait=self._some_wait())
        if lease is not None:
            try:
                await self._add_one(lease, self._chance.uniform(0.1, _LONG))
            finally:
                await self._release(lease)

    async def shared(self) -> None:
        """Read what a lock guards twice as one of several readers, or now and then add one to it."""
        lock = self._chance.choice(SHARED)
        mode: Mode = "exclusive" if self._chance.random() < 0.2 else "shared"
        lease = await self._acquire(lock, mode=mode, wait=self._some_wait())
        if lease is not None:
            try:
                use = self._add_one if mode == "exclusive" else self._read_twice
                await use(lease, self._chance.uniform(0, 10 * _SHORT))
            finally:
                await self._release(lease, mode)

    async def private(self) -> None:
        """Hold a lock nobody else wants, for no time."""
        lock = f"private/{self._slot}/{self._chance.randrange(_PRIVATE)}"
        lease = await self._acquire(lock, wait=5.0)
        if lease is not None:
            await self._release(lease)

    async def efficiency(self) -> None:
        """Hold a lock that promises no exclusion: it is counted, and judged by nobody."""
        name = f"efficiency/{self._chance.randrange(5)}"
        try:
            async with self._coordinator.efficiency_lock(name, ttl=self._some_ttl(), wait=2.0):
                await asyncio.sleep(0.002)
        except (NotAcquired, QuorumUnavailable, LeaseLost):
            return
        self.efficiency_cycles += 1

    # Steps

    async def _acquire(self, lock: str, *, mode: Mode = "exclusive", wait: float) -> Lease | None:
        op = self._note("acquire", "begin", lock, mode=mode)
        acquisition = self._coordinator.acquire(lock, ttl=self._some_ttl(), wait=wait, shared=mode == "shared")
        try:
            lease = await self._patiently(acquisition, wait)
        except (NotAcquired, QuorumUnavailable) as error:
            self._note("acquire", "fail", lock, op=op, mode=mode, note=type(error).__name__)
            return None
        except TimeoutError:
            self._note("acquire", "ambiguous", lock, op=op, mode=mode, note="cancelled")
            return None
        fence, until = lease.fence, valid_until(lease)
        self._until = until
        self._note("acquire", "ok", lock, op=op, mode=mode, fence=fence, until=until)
        lease.call_when_lost(lambda: self._note_lost(lock, mode, fence))
        return lease

    async def _patiently(self, acquisition: Coroutine[None, None, Lease], wait: float) -> Lease:
        """Wait for the lock; some of those that wait lose patience and cancel, which is a TimeoutError."""
        if wait > 0 and self._chance.random() < 0.1:
            async with asyncio.timeout(self._chance.uniform(0, wait)):
                return await acquisition
        task = asyncio.create_task(acquisition)
        try:
            await self._ends(task, wait)
        finally:
            task.cancel()
        return await task

    async def _ends(self, task: asyncio.Task[Lease], wait: float) -> None:
        """Wait until an acquisition has ended, within its wait; a long stop of this process counts as one second."""
        for _ in range(_HANGS + math.ceil(wait)):
            if task.done() or (await asyncio.wait([task], timeout=1.0))[0]:
                return
        self._around.on_violation(f"{self.name}: an acquisition with wait={wait:g} still runs {_HANGS} s after that")
        raise TimeoutError

    async def _add_one(self, lease: Lease, seconds: float) -> None:
        """Read, think and write, and care for nothing but the fence: what every client does that trusts its lock."""
        seen = await self._read(lease, "exclusive")
        await self._think(lease, seconds)
        await self._around.between(lease.name)
        values = {kind: value + 1 for kind, value in seen.items() if value is not None}
        ops = {
            kind: self._note("write", "begin", lease.name, to=kind, fence=lease.fence, value=value)
            for kind, value in values.items()
        }
        accepted = await self._around.resource.write(lease.name, lease.fence, values)
        for kind, took in accepted.items():
            phase: Phase = "ok" if took else "fail"
            self._note("write", phase, lease.name, to=kind, op=ops[kind], fence=lease.fence, value=values[kind])
            self._judge_refusal(lease, took=took)

    async def _read_twice(self, lease: Lease, seconds: float) -> None:
        first = await self._read(lease, "shared")
        await self._think(lease, seconds)
        second = await self._read(lease, "shared")
        if first["checked"] != second["checked"] and lease.valid:
            self._around.on_violation(
                f"{self.name}: {lease.name!r} changed from {first['checked']} to {second['checked']} under a valid "
                f"shared lease with fence {lease.fence}"
            )

    async def _read(self, lease: Lease, mode: Mode) -> dict[str, int | None]:
        begun = {kind: self._note("read", "begin", lease.name, to=kind, mode=mode, fence=lease.fence) for kind in KINDS}
        seen = await self._around.resource.read(lease.name, lease.fence, shared=mode == "shared")
        for kind, value in seen.items():
            phase: Phase = "fail" if value is None else "ok"
            op, fence = begun[kind], lease.fence
            self._note("read", phase, lease.name, to=kind, op=op, mode=mode, fence=fence, value=value or 0)
            self._judge_refusal(lease, took=value is not None)
        return seen

    def _judge_refusal(self, lease: Lease, *, took: bool) -> None:
        if not took and lease.valid:
            self._around.on_violation(
                f"{self.name}: the resource refused fence {lease.fence} of a lease on {lease.name!r} that is valid"
            )

    async def _release(self, lease: Lease, mode: Mode = "exclusive") -> None:
        name, fence = lease.name, lease.fence
        until = max(self._until, valid_until(lease))
        op = self._note("release", "begin", name, mode=mode, fence=fence, until=until)
        began, was_valid = now(), lease.valid
        await lease.release()
        confirmed = was_valid and now() - began < _CONFIRMED * 1e9
        self._note("release", "ok" if confirmed else "ambiguous", name, op=op, mode=mode, fence=fence)

    async def _think(self, lease: Lease, seconds: float) -> None:
        """Let time pass, and note what the lease promises as it is renewed."""
        looks = math.ceil(seconds / _LOOK)
        for _ in range(looks):
            await asyncio.sleep(seconds / looks)
            self._until = max(self._until, valid_until(lease))

    # Noting

    def _note(
        self,
        kind: Kind,
        phase: Phase,
        lock: str,
        *,
        to: str = KINDS[0],
        op: int = 0,
        mode: Mode = "exclusive",
        fence: int = 0,
        value: int = 0,
        until: int = 0,
        note: str = "",
    ) -> int:
        """Note an event now, of the operation `op` or of a new one; returns its number."""
        number = op or next(self._numbers)
        event = Event(
            at=now(),
            client=self.name,
            op=number,
            kind=kind,
            phase=phase,
            lock=lock,
            mode=mode,
            fence=fence,
            value=value,
            until=until,
            note=note,
        )
        self._around.recorders[to].append(event)
        return number

    def _note_lost(self, lock: str, mode: Mode, fence: int) -> None:
        self._note("lost", "ok", lock, mode=mode, fence=fence)

    # Chance

    def _some_ttl(self) -> float:
        return self._chance.uniform(*TTL)

    def _some_wait(self) -> float:
        return self._chance.choice((0.0, 0.5, 2.0, 5.0))


def valid_until(lease: Lease) -> int:
    """Return until when a lease may be relied on, as an instant of the history; 0 when it is over."""
    at = now()
    remaining = lease.remaining()
    return at + int(remaining * 1e9) if remaining > 0 else 0


async def paced(
    cycles: Sequence[Callable[[], Awaitable[None]]], rate: float, stopping: asyncio.Event, chance: Random
) -> None:
    """Do cycles together, about `rate` times per second, until told to stop; some of what was missed is made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time() + chance.random() / rate
    while not stopping.is_set():
        await asyncio.sleep(max(0.0, due - loop.time()))
        if stopping.is_set():
            return
        await asyncio.gather(*(cycle() for cycle in cycles))
        due = max(due + chance.uniform(0.5, 1.5) / rate, loop.time() - _MADE_UP_FOR)
