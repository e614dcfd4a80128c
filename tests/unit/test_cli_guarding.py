"""When a command that runs under a lease is stopped: early enough, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from lockmanager import LeaseLost
from lockmanager.cli.guarding import Guard, Schedule, Step

TTLS = [0.1, 0.5, 1.0, 2.0, 10.0, 60.0, 86_400.0]


@pytest.mark.parametrize(("ttl", "grace"), [(1, 0.25), (10, 2.5), (20, 5), (3600, 5)])
def test_the_command_is_asked_to_stop_a_quarter_of_the_ttl_before_the_end_at_most_five_seconds(
    ttl: float, grace: float
) -> None:
    schedule = Schedule(ttl)
    assert schedule.step(grace + 0.001) is Step.GO_ON
    assert schedule.step(grace) is Step.STOP


@pytest.mark.parametrize("ttl", TTLS)
def test_it_is_killed_before_the_lease_gives_up_by_itself(ttl: float) -> None:
    gives_up = min(ttl / 10, 0.1)
    assert gives_up < Schedule(ttl).margin < Schedule(ttl).grace
    assert Schedule(ttl).step(gives_up) is Step.DIE


@pytest.mark.parametrize("ttl", TTLS)
@pytest.mark.parametrize("part", [1.0, 0.5, 0.25, 0.2, 0.1, 0.0])
def test_nothing_that_is_due_is_slept_through(ttl: float, part: float) -> None:
    schedule, remaining = Schedule(ttl), ttl * part
    pause = schedule.pause(remaining)
    assert 0 < pause <= 0.25
    due = next((at for at in (schedule.grace, schedule.margin, 0.0) if at < remaining), 0.0)
    assert remaining - pause >= due - 0.001 - 1e-9


class FakeLease:
    """A lease whose remaining time a test sets."""

    name, fence, ttl = "orders/42", 7, 8.0

    def __init__(self) -> None:
        self.left = 8.0
        self.tell: Callable[[], None] = lambda: None

    @property
    def valid(self) -> bool:
        return self.left > 0

    def remaining(self) -> float:
        return self.left

    def loss(self) -> LeaseLost:
        return LeaseLost(self.name, fence=self.fence, reason="an operator revoked it")

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        self.tell = callback


class FakeChild:
    """A child that notes what it is told."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.status: int | None = None
        self.told: list[str] = []

    def wake(self) -> None:
        self.changed.set()

    def ask_to_end(self) -> None:
        self.told.append("TERM")

    def kill(self) -> None:
        self.told.append("KILL")

    def end(self, status: int) -> None:
        self.status = status
        self.changed.set()


def guarded() -> tuple[Guard, FakeLease, FakeChild]:
    lease, child = FakeLease(), FakeChild()
    return Guard(cast(Any, lease), cast(Any, child)), lease, child


def test_while_renewals_get_through_nothing_happens() -> None:
    guard, _, child = guarded()
    guard.act()
    assert child.told == []


def test_it_is_asked_once_and_killed_when_the_time_has_come() -> None:
    guard, lease, child = guarded()
    for lease.left in (2.0, 1.5, 1.0, 0.5, 0.4):
        guard.act()
    assert child.told == ["TERM", "KILL", "KILL"]


def test_a_lease_that_is_gone_at_once_means_death_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    guard, lease, child = guarded()
    lease.left = 0.0
    guard.act()
    assert child.told == ["KILL"]
    assert capsys.readouterr().err.startswith("lockmanager: the lease on 'orders/42' (fence 7) is lost: an operator")


async def watched(guard: Guard, *steps: Callable[[], None]) -> bool:
    """Watch while each step is taken, a turn of the loop in between."""
    watching = asyncio.create_task(guard.watch())
    for step in steps:
        await asyncio.sleep(0)
        step()
    async with asyncio.timeout(5):
        return await watching


async def test_a_command_that_ends_by_itself_loses_nothing() -> None:
    guard, _, child = guarded()
    assert await watched(guard, lambda: child.end(0)) is False
    assert child.told == []


async def test_a_command_that_ends_when_asked_has_lost_and_what_it_left_is_killed() -> None:
    guard, lease, child = guarded()
    lease.left = 1.0
    assert await watched(guard, lambda: child.end(0)) is True
    assert child.told == ["TERM", "KILL"]


async def test_a_renewal_after_it_was_asked_saves_its_life_but_not_the_lease() -> None:
    guard, lease, child = guarded()
    lease.left = 1.0

    def renewed() -> None:
        lease.left = 8.0
        child.wake()

    assert await watched(guard, renewed, lambda: child.end(0)) is True
    assert child.told == ["TERM", "KILL"], "killed only after its end, for what it left behind"


async def test_the_news_of_a_loss_is_acted_on_at_once() -> None:
    guard, lease, child = guarded()

    def lose() -> None:
        lease.left = 0.0
        lease.tell()

    assert await watched(guard, lose, lambda: None, lambda: child.end(137)) is True
    assert child.told[0] == "KILL"


async def test_an_end_that_is_seen_only_after_the_lease_counts_as_lost() -> None:
    guard, lease, child = guarded()

    def stood_still() -> None:
        lease.left = 0.0
        child.end(0)

    assert await watched(guard, stood_still) is True


async def test_a_watch_that_is_cut_short_leaves_no_command_behind() -> None:
    guard, _, child = guarded()
    watching = asyncio.create_task(guard.watch())
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert child.told == ["KILL"]
