"""Cancellation at every await of acquire, hold, renew and release leaves nothing behind on any node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lockmanager import Coordinator
from tests.support.cancelling import Suspensions
from tests.support.memory_network import MemoryNetwork, time_passes

Scenario = Callable[[Coordinator], Coroutine[Any, Any, None]]


async def _free(coordinator: Coordinator) -> None:
    async with coordinator.lock("a", ttl=3) as lease:
        await time_passes(0.1)
        await lease.renew()
        await time_passes(0.1)


async def _by_hand(coordinator: Coordinator) -> None:
    lease = await coordinator.acquire("a", ttl=60, wait=20)
    try:
        await time_passes(0.1)
        await lease.renew(90)
    finally:
        await lease.release()


async def _shared(coordinator: Coordinator) -> None:
    async with coordinator.lock("a", ttl=3, shared=True):
        await time_passes(0.1)


async def _efficiency(coordinator: Coordinator) -> None:
    async with coordinator.efficiency_lock("a", ttl=3):
        await time_passes(0.1)


# Suspensions: acquire (one future), the body's own sleeps, renew (one), release (one).
SCENARIOS = [
    pytest.param(_free, 5, id="with block"),
    pytest.param(_by_hand, 4, id="by hand with a ttl above 30 s"),
    pytest.param(_shared, 3, id="shared"),
    pytest.param(_efficiency, 3, id="efficiency"),
]


async def _run(network: MemoryNetwork, scenario: Scenario, *, cancel_at: int, late: bool, contended: bool) -> int:
    """Run the scenario, cancelled at one suspension; returns how many suspensions there were until its end."""
    async with network.coordinator() as other, network.coordinator() as coordinator:
        await time_passes(0.1)
        blocker = await other.acquire("a", ttl=3) if contended else None
        steps = Suspensions(scenario(coordinator), cancel_at=cancel_at, late=late)

        async def follow() -> None:
            await steps

        task = asyncio.create_task(follow())
        await time_passes(0.05)
        if blocker is not None:
            await blocker.release()
        await asyncio.wait([task], timeout=30)
        assert task.done()
        assert task.cancelled() == (0 < cancel_at <= steps.count)
        await time_passes(3 * network.delay)
        assert network.is_empty(), f"cancelled at suspension {cancel_at}, something is left on a node"
        async with other.lock("a", ttl=3, wait=0):
            pass
        return steps.count


@pytest.mark.parametrize("contended", [False, True], ids=["free", "contended"])
@pytest.mark.parametrize(("scenario", "suspensions"), SCENARIOS)
@pytest.mark.parametrize("nodes", [3, 5], ids=["3 nodes", "5 nodes"])
async def test_cancellation_at_every_await_leaves_nothing(
    nodes: int, scenario: Scenario, suspensions: int, contended: bool
) -> None:
    assert await _run(MemoryNetwork(nodes), scenario, cancel_at=0, late=False, contended=contended) == suspensions
    for cancel_at in range(1, suspensions + 1):
        for late in (False, True):
            await _run(MemoryNetwork(nodes), scenario, cancel_at=cancel_at, late=late, contended=contended)


async def test_a_cancellation_while_nodes_are_unreachable_is_made_good_when_they_are_back() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as other, network.coordinator("cut") as coordinator:
        lease = await coordinator.acquire("a", ttl=60)
        network.cut("cut", *network.nodes)
        task = asyncio.create_task(lease.release())
        await time_passes(0.01)
        task.cancel()
        await asyncio.wait([task])
        await time_passes(1)
        assert not network.is_empty()
        for node in network.nodes.values():
            for connection in [c for c in node.connections if c.client == "cut"]:
                connection.break_off()
        network.heal("cut", *network.nodes)
        async with other.lock("a", wait=3):
            pass
        await time_passes(1)
        assert network.is_empty()
