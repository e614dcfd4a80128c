"""A worker notes what it did, claims nothing it does not know, and tells what must not be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from lockmanager import Coordinator, NotAcquired, QuorumUnavailable
from lockmanager.lease import Lease
from tests.chaos.history import Event, Recorder, now, read_history
from tests.chaos.resource import KINDS, Resource, ResourceConnection
from tests.chaos.workload import CONTENDED, SHARED, Surroundings, Worker, paced, valid_until

pytestmark = pytest.mark.looptime


@dataclass
class _Lease:
    """A lease as far as a worker knows one."""

    name: str
    fence: int = 7
    valid: bool = True
    left: float = 1.5
    released: bool = False
    on_lost: list[Callable[[], None]] = field(default_factory=list)

    def remaining(self) -> float:
        return self.left if self.valid else 0.0

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        self.on_lost.append(callback)

    def is_lost(self) -> None:
        self.valid = False
        for callback in self.on_lost:
            callback()

    async def release(self) -> None:
        self.released = True


class _Scene:
    """One worker with a coordinator that does as it is told and a resource in the same process."""

    def __init__(self, directory: Path) -> None:
        self.resource = Resource()
        self.violations: list[str] = []
        self.leases: list[_Lease] = []
        self.outcome: Callable[[_Lease], Awaitable[None]] = _at_once
        self.before_write: Callable[[_Lease], None] = _nothing
        self.worker: Worker
        self._directory = directory

    async def acquire(self, name: str, **_wanted: Any) -> _Lease:
        lease = _Lease(name)
        await self.outcome(lease)
        self.leases.append(lease)
        return lease

    async def read(self, lock: str, fence: int, *, shared: bool) -> dict[str, Any]:
        return self.resource.answer({"do": "read", "lock": lock, "fence": fence, "shared": shared})

    async def write(self, lock: str, fence: int, values: dict[str, int]) -> dict[str, Any]:
        return self.resource.answer({"do": "write", "lock": lock, "fence": fence, "values": values})

    async def between(self, _lock: str) -> None:
        self.before_write(self.leases[-1])

    @asynccontextmanager
    async def efficiency_lock(self, _name: str, **_wanted: Any) -> AsyncIterator[None]:
        yield

    async def does(self, cycle: str, *, dice: Random | None = None) -> list[Event]:
        """Let a worker do one cycle; returns what the history says of it."""
        recorders = {kind: Recorder(self._directory / kind, "client1") for kind in KINDS}
        around = Surroundings(
            recorders, cast("ResourceConnection", self), self.between, self.violations.append, asyncio.Event()
        )
        self.worker = Worker("client1a.0", "client1a", cast("Coordinator", self), around, dice or _Dice(0.5))
        await getattr(self.worker, cycle)()
        for recorder in recorders.values():
            recorder.close()
        return self.history(KINDS[0])

    def history(self, kind: str) -> list[Event]:
        return read_history(self._directory / kind).events


class _Dice(Random):
    """Always falls the same way, and chooses the last of several."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self._number = number

    def random(self) -> float:
        return self._number

    def choice(self, several: Sequence[Any]) -> Any:  # type: ignore[override]
        return several[-1]


async def _at_once(lease: _Lease) -> None:
    """The lock is free."""


async def _never(lease: _Lease) -> None:
    """The lock is held for ever."""
    await asyncio.Event().wait()


def _nothing(lease: _Lease) -> None:
    """Nothing happens before the write."""


def _says(events: list[Event]) -> list[str]:
    return [f"{event.kind} {event.phase}" for event in events]


@pytest.fixture
def scene(tmp_path: Path) -> _Scene:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
    return _Scene(tmp_path)


async def test_a_contended_cycle_reads_and_adds_one_under_its_fence(scene: _Scene) -> None:
    events = await scene.does("contended")
    steps = ["acquire", "read", "write", "release"]
    assert _says(events) == [f"{step} {phase}" for step in steps for phase in ("begin", "ok")]
    assert {event.fence for event in events[1:]} == {7}
    report = scene.resource.answer({"do": "report"})
    assert [report[kind].values for kind in KINDS] == [{events[0].lock: 1}] * 2
    assert events[0].lock in CONTENDED
    assert (scene.violations, scene.leases[0].released) == ([], True)


@pytest.mark.parametrize("error", [NotAcquired("a"), QuorumUnavailable("a", needed=2, reachable=1)])
async def test_a_refused_acquisition_has_surely_failed(scene: _Scene, error: Exception) -> None:
    async def refused(lease: _Lease) -> None:
        raise error

    scene.outcome = refused
    events = await scene.does("contended")
    assert _says(events) == ["acquire begin", "acquire fail"]
    assert events[1].note == type(error).__name__


async def test_an_acquisition_that_is_cancelled_is_ambiguous(scene: _Scene) -> None:
    scene.outcome = _never
    events = await scene.does("contended", dice=_Dice(0.05))
    assert _says(events) == ["acquire begin", "acquire ambiguous"]
    assert scene.violations == []


async def test_an_acquisition_that_runs_far_beyond_its_wait_is_told(scene: _Scene) -> None:
    scene.outcome = _never
    events = await scene.does("contended", dice=_Dice(0.9))
    assert _says(events) == ["acquire begin", "acquire ambiguous"]
    assert scene.violations == ["client1a.0: an acquisition with wait=5 still runs 30 s after that"]


async def test_a_loss_is_noted_and_the_release_that_follows_claims_no_more_than_was_promised_before(
    scene: _Scene,
) -> None:
    scene.before_write = _Lease.is_lost
    events = await scene.does("contended")
    assert _says(events)[4:] == ["lost ok", "write begin", "write ok", "release begin", "release ambiguous"]
    promised = events[-2].until
    assert events[1].until <= promised <= events[4].at + 1_500_000_000
    assert events[4].fence == 7


async def test_a_stale_write_is_refused_in_one_resource_and_taken_in_the_other(scene: _Scene) -> None:
    def overtaken(lease: _Lease) -> None:
        lease.valid = False
        scene.resource.answer({"do": "read", "lock": lease.name, "fence": 8, "shared": False})

    scene.before_write = overtaken
    events = await scene.does("contended")
    assert _says(events)[4:6] == ["write begin", "write fail"]
    assert _says(scene.history("unchecked")) == ["read begin", "read ok", "write begin", "write ok"]
    assert scene.violations == []


async def test_a_refusal_of_a_valid_lease_is_told(scene: _Scene) -> None:
    def other_holder(lease: _Lease) -> None:
        scene.resource.answer({"do": "read", "lock": lease.name, "fence": 8, "shared": False})

    scene.before_write = other_holder
    await scene.does("contended")
    (sentence,) = scene.violations
    assert "refused fence 7 of a lease on 'contended/" in sentence
    assert sentence.endswith("that is valid")


async def test_a_reader_reads_twice_under_a_shared_lease(scene: _Scene) -> None:
    events = await scene.does("shared", dice=_Dice(0.9))
    assert _says(events) == [
        "acquire begin",
        "acquire ok",
        *["read begin", "read ok"] * 2,
        "release begin",
        "release ok",
    ]
    assert {event.mode for event in events} == {"shared"}
    assert events[0].lock in SHARED


async def test_a_value_that_changes_under_a_valid_shared_lease_is_told(scene: _Scene) -> None:
    values = iter([3, 4])

    async def read(lock: str, fence: int, *, shared: bool) -> dict[str, int]:
        return dict.fromkeys(KINDS, next(values))

    setattr(scene, "read", read)  # noqa: B010 - a method cannot be assigned to
    await scene.does("shared", dice=_Dice(0.9))
    (sentence,) = scene.violations
    assert "changed from 3 to 4 under a valid shared lease with fence 7" in sentence


async def test_an_efficiency_lock_is_counted_and_not_in_the_history(scene: _Scene) -> None:
    assert await scene.does("efficiency") == []
    assert scene.worker.efficiency_cycles == 1


def test_until_is_never_later_than_what_remains_from_before_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = _Lease("a")

    def stopped_while_asking() -> float:
        asked.append(now())
        return 1.5

    asked: list[int] = []
    monkeypatch.setattr(lease, "remaining", stopped_while_asking)
    assert valid_until(cast("Lease", lease)) <= asked[0] + 1_500_000_000


def test_a_lease_that_is_over_has_no_until() -> None:
    assert valid_until(cast("Lease", _Lease("a", valid=False))) == 0


async def test_cycles_keep_their_pace_and_make_up_for_some_of_what_they_missed() -> None:
    loop, stopping, began = asyncio.get_running_loop(), asyncio.Event(), list[float]()

    async def cycle() -> None:
        began.append(loop.time())
        if len(began) == 10:
            await asyncio.sleep(60)
        if len(began) == 100:
            stopping.set()

    started = loop.time()
    await paced([cycle], 10.0, stopping, Random(1))
    assert len(began) == 100
    assert 0.5 < began[9] - started < 2.0
    made_up = sum(at - began[9] <= 60.5 for at in began[10:])
    assert 20 <= made_up <= 40


async def test_cycles_of_one_sort_begin_at_once() -> None:
    loop, stopping, began = asyncio.get_running_loop(), asyncio.Event(), list[float]()

    async def cycle() -> None:
        began.append(loop.time())
        stopping.set()
        await asyncio.sleep(1)

    await paced([cycle] * 3, 10.0, stopping, Random(1))
    assert began == [began[0]] * 3
