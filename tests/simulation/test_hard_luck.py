"""Waiters and holders under sequences that are rare and not fair: outages, limits, revokes, suspends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lockmanager import QuorumUnavailable
from lockmanager.durations import microseconds
from lockmanager.wire import Space
from lockmanager_node.limits import Limits
from tests.support.memory_network import LoopClock, MemoryNetwork, time_passes


async def test_a_shorter_ttl_does_not_break_healthy_sessions_that_were_quiet() -> None:
    network = MemoryNetwork(3, delay=0.06)
    async with network.coordinator() as coordinator:
        await time_passes(0.5)
        long = await coordinator.acquire("long", ttl=30)
        await time_passes(0.58)
        before = [id(connection) for node in network.nodes.values() for connection in node.connections]
        lease = await coordinator.acquire("short", ttl=0.5, wait=0)
        await time_passes(0.3)
        assert [id(connection) for node in network.nodes.values() for connection in node.connections] == before
        await lease.release()
        await long.release()


async def test_a_release_outlives_an_outage_as_long_as_the_ttl_the_lease_was_renewed_to() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("client") as coordinator:
        lease = await coordinator.acquire("a", ttl=1)
        await lease.renew(600)
        await time_passes(0.1)
        network.cut("client", "node3")
        for connection in list(network.nodes["node3"].connections):
            connection.break_off()
        await lease.release()
        await time_passes(3)
        network.heal("client", "node3")
        await time_passes(3)
        assert network.is_empty()


async def test_a_waiter_whose_minority_grant_was_revoked_is_served_by_that_node_later() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder, network.coordinator("waiter") as waiter:
        network.cut("holder", "node1")
        for connection in list(network.nodes["node1"].connections):
            connection.break_off()
        await time_passes(0.5)
        held = await holder.acquire("a", ttl=10)
        task = asyncio.create_task(waiter.acquire("a", ttl=10))
        await time_passes(0.1)
        assert network.nodes["node1"].service.revoke((Space.QUORUM, "a"), force=False) == 1
        await time_passes(0.1)
        network.nodes["node3"].crash()
        await held.release()
        async with asyncio.timeout(120):
            await (await task).release()


async def test_a_waiter_rejected_by_a_full_node_is_served_by_it_once_there_is_room() -> None:

    network = MemoryNetwork(3)
    network.nodes["node1"].table.limits = Limits(leases=0)
    async with network.coordinator("holder") as holder, network.coordinator("waiter") as waiter:
        held = await holder.acquire("a", ttl=10)
        task = asyncio.create_task(waiter.acquire("a", ttl=10))
        await time_passes(0.1)
        network.nodes["node1"].table.limits = Limits()
        network.nodes["node3"].crash()
        await held.release()
        async with asyncio.timeout(120):
            await (await task).release()


async def test_a_short_wait_on_a_hung_host_does_not_open_the_breakers_of_hosts_never_asked() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("client") as coordinator:
        await time_passes(0.1)
        first = network.cluster.preference("a")[0]
        network.cut("client", first)
        with pytest.raises(QuorumUnavailable):
            async with coordinator.efficiency_lock("a", wait=0.2):
                pass
        await time_passes(0.1)
        async with coordinator.efficiency_lock("a", wait=0.2):
            pass


async def test_a_renewal_is_confirmed_though_its_answer_shares_a_frame_with_an_earlier_one() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("client") as coordinator:
        lease = await coordinator.acquire("a", ttl=10)
        late: list[Callable[[], None]] = []

        def hold(sender: str, _receiver: str, arrive: Callable[[], None]) -> bool:
            if sender == "client":
                late.append(arrive)
            return sender == "client"

        network.held_back = hold
        other = asyncio.create_task(coordinator.acquire("b", ttl=10))
        await time_passes(0.005)
        loop = asyncio.get_running_loop()
        asked = loop.time()
        renewal = asyncio.create_task(lease.renew())
        await time_passes(0.005)
        network.held_back = None
        for arrive in late:
            arrive()  # what TCP does with two frames in one segment
        await renewal
        assert loop.time() - asked < 0.1
        await (await other).release()
        await lease.release()


class Suspended(LoopClock):
    """A clock that counts suspend, beside an event loop that does not."""

    slept = 0

    def now(self) -> int:
        return super().now() + self.slept


async def test_a_holder_is_told_soon_after_a_suspend_that_outlasted_its_lease() -> None:
    network, clock = MemoryNetwork(3), Suspended()
    async with network.coordinator("client", clock=clock) as coordinator:
        lease = await coordinator.acquire("a", ttl=60)
        await time_passes(0.5)
        clock.slept = microseconds(100)
        async with asyncio.timeout(3):
            await lease.lost.wait()


async def test_a_revoked_lease_that_was_dropped_is_released() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator, network.coordinator() as other:
        lease = await coordinator.acquire("a", ttl=3600)
        for node in network.nodes.values():
            node.service.revoke((Space.QUORUM, "a"), force=False)
        await asyncio.wait_for(lease.lost.wait(), 1)
        del lease  # whoever was told of the loss need not release, and is not warned
        async with other.lock("a", wait=60):
            pass
