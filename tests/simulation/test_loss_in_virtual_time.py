"""A lease that cannot be renewed is lost before anybody else can be granted; a healthy one is never lost."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager import Coordinator, LeaseLost
from lockmanager.wire import Space
from tests.support.memory_network import MemoryNetwork, time_passes


@pytest.mark.parametrize("ttl", [1.0, 1.5, 3.0, 10.0, 30.0, 45.0, 120.0])
@pytest.mark.parametrize("nodes", [3, 5])
async def test_a_holder_cut_off_from_the_majority_stops_before_anybody_else_is_granted(nodes: int, ttl: float) -> None:
    network = MemoryNetwork(nodes)
    loop = asyncio.get_running_loop()
    stopped: list[float] = []

    async with network.coordinator("cut") as holder, network.coordinator() as other:
        entered = asyncio.Event()

        async def hold() -> None:
            async with holder.lock("a", ttl=ttl):
                entered.set()
                try:
                    await time_passes(1_000)
                finally:
                    stopped.append(loop.time())

        task = asyncio.create_task(hold())
        await entered.wait()
        await time_passes(0.7 * ttl)
        network.cut("cut", *list(network.nodes)[: nodes // 2 + 1])
        async with other.lock("a", ttl=ttl):
            granted = loop.time()
        with pytest.raises(LeaseLost):
            await task
    assert stopped
    assert stopped[0] < granted


@pytest.mark.parametrize("ttl", [1.0, 10.0, 40.0])
async def test_a_healthy_holder_never_loses_its_lease_in_twenty_ttls(ttl: float) -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator, coordinator.lock("a", ttl=ttl) as lease:
        least = ttl
        for _ in range(200):
            await time_passes(ttl / 10)
            least = min(least, lease.remaining())
        assert lease.valid
        assert least > ttl / 2
        assert network.messages["node1", "Renew"] >= 55


async def test_a_holder_survives_one_node_after_another_being_down_because_nodes_that_come_back_are_filled() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator, coordinator.lock("a", ttl=3) as lease:
        fence = lease.fence
        for _ in range(3):
            for node in network.nodes.values():
                node.crash()
                await time_passes(4)
                node.start()
                await time_passes(4)
                assert node.table.lease_count == 1, "the node that came back was not filled"
        assert lease.valid
        assert lease.fence == fence


async def test_a_holder_whose_majority_crashed_for_good_is_told() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator:
        lease = await coordinator.acquire("a", ttl=3)
        network.nodes["node1"].crash()
        network.nodes["node2"].crash()
        async with asyncio.timeout(3):
            await lease.lost.wait()
        with pytest.raises(LeaseLost, match="too few nodes renewed it in time"):
            lease.check()


async def _cleans_up(coordinator: Coordinator, entered: asyncio.Event, seconds: float) -> float:
    """Hold the lock until it is lost, take a while to clean up, and return when that was done."""
    try:
        async with coordinator.lock("a", ttl=5):
            entered.set()
            try:
                await time_passes(1_000)
            finally:
                await time_passes(seconds)
                done = asyncio.get_running_loop().time()
    except LeaseLost:
        return done
    raise AssertionError("the lease was not lost")


async def test_a_revoked_holder_that_still_cleans_up_keeps_others_out_until_it_has_let_go() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as holder, network.coordinator() as other:
        entered = asyncio.Event()
        task = asyncio.create_task(_cleans_up(holder, entered, seconds=1))
        await entered.wait()
        for node in network.nodes.values():
            assert node.service.revoke((Space.QUORUM, "a"), force=False) == 1
        revoked = asyncio.get_running_loop().time()
        async with other.lock("a", ttl=5):
            granted = asyncio.get_running_loop().time()
        done = await task
        assert done < granted < revoked + 1.1, "granted as soon as the holder had let go, and not before"
