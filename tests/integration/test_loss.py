"""A holder that is cut off from the majority stops before anybody else can be granted, and its caller is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import aiohttp
import pytest

from lockmanager import Coordinator, LeaseLost, NotAcquired, QuorumUnavailable
from lockmanager.clock import SystemClock
from lockmanager.testing import LocalCluster
from tests.support.relay import Ways, ways_to
from tests.support.waiting import DEADLINE, free, held_on, in_line, sessions_are_live, until

CLOCK: Final = SystemClock()
"""`CLOCK_BOOTTIME`, the same for everybody on this machine."""

Successor = Callable[[Coordinator, str], Awaitable[int]]
"""Gets the lock once it can be had, and returns when that was."""


@pytest.fixture
async def ways(cluster: LocalCluster) -> AsyncIterator[Ways]:
    """The ways of the coordinator `far` to the nodes, which can be cut."""
    async with ways_to(cluster.cluster) as ways:
        yield ways


@pytest.fixture
async def far(ways: Ways) -> AsyncIterator[Coordinator]:
    async with Coordinator(ways.cluster, label="far") as coordinator:
        await sessions_are_live(coordinator)
        yield coordinator


@pytest.fixture
async def near(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="near") as coordinator:
        await sessions_are_live(coordinator)
        yield coordinator


@pytest.fixture
def name() -> str:
    return f"orders/{uuid4()}"


class Holder:
    """Holds a lock until it is lost, and notes when its body ended."""

    def __init__(self, coordinator: Coordinator, name: str, ttl: float) -> None:
        self.name = name
        self.entered = asyncio.Event()
        self.ended = 0
        self.left_in_the_end = 0.0
        self._coordinator = coordinator
        self._ttl = ttl

    async def hold(self) -> None:
        async with self._coordinator.lock(self.name, ttl=self._ttl, wait=5) as lease:
            self.left = lease.remaining
            self.entered.set()
            try:
                async with asyncio.timeout(DEADLINE):
                    await asyncio.Event().wait()
            finally:
                self.ended = CLOCK.now()
                self.left_in_the_end = lease._run.acquisition.validity - self.ended


class Pulse:
    """Measures for how long this process stood still: against that a lease protects nobody, only its fence does."""

    BEAT: Final = 0.005
    STANDSTILL: Final = 0.05

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        while True:
            begin = time.monotonic()
            await asyncio.sleep(self.BEAT)
            self.longest = max(self.longest, time.monotonic() - begin - self.BEAT)

    @property
    def steady(self) -> bool:
        return self.longest < self.STANDSTILL


async def granted_in_line(coordinator: Coordinator, name: str) -> int:
    """Wait in line, and return when the lock was granted."""
    async with coordinator.lock(name, wait=DEADLINE):
        return CLOCK.now()


async def granted_by_trying(coordinator: Coordinator, name: str) -> int:
    """Try without a pause, and return when a try succeeded."""
    while True:
        try:
            async with asyncio.timeout(DEADLINE), coordinator.lock(name, wait=0):
                return CLOCK.now()
        except (NotAcquired, QuorumUnavailable):  # the nodes of a busy machine may answer too late
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("ttl", "cut", "successor"),
    [
        (1.0, (), granted_in_line),
        (1.0, (), granted_by_trying),
        (1.0, ("node1", "node3"), granted_in_line),
        (1.0, ("node1", "node2"), granted_by_trying),
        (2.0, ("node2", "node3"), granted_in_line),
    ],
)
async def test_the_body_of_a_holder_that_is_cut_off_ends_before_another_is_granted(
    ways: Ways,
    far: Coordinator,
    near: Coordinator,
    name: str,
    ttl: float,
    cut: tuple[str, ...],
    successor: Successor,
) -> None:
    for attempt in range(3):
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        holder = Holder(far, f"{name}/{attempt}", ttl)
        granted = await lose_to(successor, holder, near, ways, cut)
        beating.cancel()
        if pulse.steady:
            break
        ways.heal()
        await sessions_are_live(far)
    assert 0 < holder.ended < granted
    assert holder.left_in_the_end > 0


async def lose_to(successor: Successor, holder: Holder, near: Coordinator, ways: Ways, cut: tuple[str, ...]) -> int:
    """Cut a holder off, and return when its successor was granted."""
    holding = asyncio.create_task(holder.hold())
    await holder.entered.wait()
    await held_on(near, holder.name, 3)
    next_one = asyncio.ensure_future(successor(near, holder.name))
    ways.cut(cut)
    granted = await next_one
    with pytest.raises(LeaseLost, match="too few nodes renewed it in time") as caught:
        await holding
    assert caught.value.name == holder.name
    return granted


async def test_a_holder_that_still_reaches_two_nodes_keeps_the_lock(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    async with far.lock(name, ttl=1.5) as lease:
        ways.cut(["node2"])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await lease.lost.wait()
        with pytest.raises(NotAcquired, match="far"):
            await near.acquire(name, wait=0)
        assert lease.valid


async def test_a_cut_shorter_than_the_ttl_costs_nothing(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    async with far.lock(name, ttl=2) as lease:
        ways.cut()
        await lease.renew()
        assert lease.valid
        ways.heal()
        await until(lambda: lease.remaining() > 1.7, "a renewal that got through")


async def test_a_lost_lease_is_given_back_once_the_way_is_healed(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    lease = await far.acquire(name, ttl=1)
    ways.cut()
    await lease.lost.wait()
    assert not lease.valid
    ways.heal()
    await free(near, name)
    again = await far.acquire(name, wait=5)
    assert again.fence > lease.fence
    await again.release()


async def test_a_waiter_that_is_cut_off_leaves_the_line(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    async with near.lock(name):
        waiting = asyncio.create_task(far.acquire(name, ttl=0.5))
        await in_line(near, name)
        ways.cut()
        await in_line(near, name, 0)
        assert not waiting.done()
        ways.heal()
        await in_line(near, name)
    await (await waiting).release()


async def test_a_client_that_reaches_a_minority_only_holds_nobody_up(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    ways.cut(["node2", "node3"])
    ways.relays["node2"].reset()
    ways.relays["node3"].reset()
    waiting = asyncio.create_task(far.acquire(name))
    for _ in range(5):
        async with near.lock(name, wait=2):
            assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_client_without_any_node_is_told_so_within_its_wait(ways: Ways, far: Coordinator, name: str) -> None:
    ways.cut()
    async with asyncio.timeout(2):
        with pytest.raises(QuorumUnavailable):
            await far.acquire(name, wait=0.5)


async def test_one_node_an_operator_spoke_to_takes_no_lock_from_its_holder(
    cluster: LocalCluster, near: Coordinator, name: str
) -> None:
    async with near.lock(name) as lease:
        await held_on(near, name, 3)
        body = {"name": name, "space": "quorum"}
        url = f"{cluster.urls['node1']}/v1/revoke"
        async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            assert await answer.json() == {"revoked": 1}
        async with near.lock(f"{name}/after") as later:
            granted = later._run.acquisition.ballot["node1"]
            await until(lambda: granted.grant is not None, "what node1 says after what it said of the lock it revoked")
        await lease.renew()
        assert lease.valid


async def test_breaking_connections_over_and_over_costs_no_lease(
    ways: Ways, far: Coordinator, near: Coordinator, name: str
) -> None:
    async with far.lock(name, ttl=2) as lease:
        for _ in range(3):
            for relay in ways.relays.values():
                relay.reset()
                await lease.renew()
            await sessions_are_live(far)
        await held_on(near, name, 3)
        assert lease.valid


async def test_every_client_of_a_hundred_is_told_of_its_own_loss_only(
    ways: Ways, far: Coordinator, near: Coordinator
) -> None:
    async with AsyncExitStack() as stack:
        kept = [await stack.enter_async_context(near.lock(f"kept/{n}")) for n in range(100)]
        lost = [await far.acquire(f"lost/{n}", ttl=1) for n in range(100)]
        ways.cut()
        await asyncio.gather(*(lease.lost.wait() for lease in lost))
        assert all(lease.valid for lease in kept)
        assert not any(lease.valid for lease in lost)
