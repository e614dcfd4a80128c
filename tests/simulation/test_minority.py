"""A client that reaches only a minority of the nodes must not hold others up."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager import QuorumUnavailable
from tests.support.memory_network import MemoryNetwork, time_passes


@pytest.mark.parametrize(("nodes", "reached"), [(3, 1), (5, 2)])
async def test_a_waiter_cut_off_from_the_majority_lets_go_after_the_node_timeout(nodes: int, reached: int) -> None:
    network = MemoryNetwork(nodes)
    names = list(network.nodes)
    async with network.coordinator("early") as early, network.coordinator("late") as late:
        blocker = await late.acquire("a", ttl=5)
        first = asyncio.create_task(early.acquire("a", ttl=5))
        await time_passes(0.1)
        # The early waiter keeps a minority; as many nodes as may be are down for all, so that its grants matter.
        network.cut("early", *names[reached:])
        for node in names[nodes // 2 + 1 :]:
            network.nodes[node].crash()
        for node in names[reached : nodes // 2 + 1]:
            for connection in [c for c in network.nodes[node].connections if c.client == "early"]:
                connection.break_off()
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await blocker.release()
        lease = await late.acquire("a", ttl=5, wait=5)
        assert loop.time() - asked < 0.5
        assert not first.done()
        network.heal("early", *names)
        await lease.release()
        async with asyncio.timeout(5):
            await (await first).release()


async def test_a_waiter_in_a_minority_keeps_its_ticket_and_is_served_before_younger_ones() -> None:
    network = MemoryNetwork(3)
    served: list[str] = []

    async with network.coordinator("old") as old, network.coordinator("young") as young:

        async def work(who: str) -> None:
            async with (old if who == "old" else young).lock("a", ttl=5):
                served.append(who)

        async with young.lock("a", ttl=5):
            first = asyncio.create_task(work("old"))
            await time_passes(0.1)
            network.cut("old", "node1", "node2")
            for node in ("node1", "node2"):
                for connection in [c for c in network.nodes[node].connections if c.client == "old"]:
                    connection.break_off()
            await time_passes(1)
            second = asyncio.create_task(work("young"))
            await time_passes(0.1)
            network.heal("old", "node1", "node2")
            await time_passes(3)
        async with asyncio.timeout(5):
            await asyncio.gather(first, second)
    assert served == ["old", "young"]


async def test_a_client_that_sees_no_majority_fails_within_its_wait_and_names_each_node() -> None:
    network = MemoryNetwork(3)
    network.nodes["node2"].crash()
    network.nodes["node3"].crash()
    async with network.coordinator() as coordinator:
        asked = asyncio.get_running_loop().time()
        with pytest.raises(QuorumUnavailable) as caught:
            await coordinator.acquire("a", wait=2)
        assert asyncio.get_running_loop().time() - asked == pytest.approx(2, abs=0.01)
    assert caught.value.causes["node2"] == "connection refused"
    assert caught.value.causes["node3"] == "connection refused"
    assert network.is_empty()
