"""Fifty waiters in one line: order, messages, and leaving it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lockmanager import AcquireTimeout, Coordinator, Lease
from tests.support.memory_network import MemoryNetwork, time_passes

WAITERS = 50


@pytest.fixture(params=[3, 5], ids=["3 nodes", "5 nodes"])
def network(request: pytest.FixtureRequest) -> MemoryNetwork:
    return MemoryNetwork(request.param)


def _nothing(number: int, lease: Lease) -> None:
    """Hold the lock for no time."""


async def _queue_up(
    coordinator: Coordinator, name: str, count: int, work: Callable[[int, Lease], None]
) -> list[asyncio.Task[None]]:
    """Start waiters one after another, each in line before the next one asks."""

    async def wait_and_work(number: int) -> None:
        async with coordinator.lock(name, ttl=5) as lease:
            work(number, lease)

    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(wait_and_work(number)))
        await time_passes(0.01)
    return tasks


async def test_fifty_waiters_get_the_lock_in_ticket_order_with_rising_fences(network: MemoryNetwork) -> None:
    served: list[int] = []
    fences: list[int] = []

    def work(number: int, lease: Lease) -> None:
        served.append(number)
        fences.append(lease.fence)

    async with network.coordinator() as one, network.coordinator() as two:
        async with one.lock("a", ttl=5):
            even = await _queue_up(one, "a", WAITERS // 2, work)
            odd = await _queue_up(two, "a", WAITERS // 2, lambda number, lease: work(number + WAITERS // 2, lease))
        async with asyncio.timeout(60):
            await asyncio.gather(*even, *odd)
    assert served == list(range(WAITERS))
    assert fences == sorted(set(fences))
    assert network.is_empty()


async def test_nobody_polls_and_a_hand_over_costs_at_most_four_messages_per_node(network: MemoryNetwork) -> None:
    async with network.coordinator() as holder, network.coordinator() as waiting:
        async with holder.lock("a", ttl=5):
            tasks = await _queue_up(waiting, "a", WAITERS, _nothing)
            await time_passes(0.1)
            in_line = network.sent_by_node()
            await time_passes(0.9)
            assert network.sent_by_node() == in_line, "waiting costs no messages before the holder's first renewal"
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
    after = network.sent_by_node()
    for node in network.nodes:
        hand_overs = after[node] - in_line[node]
        assert 0 < hand_overs <= 4 * WAITERS, f"{node}: {hand_overs / WAITERS} messages per hand-over"


async def test_a_waiter_that_is_cancelled_leaves_every_line_at_once(network: MemoryNetwork) -> None:
    async with network.coordinator() as holder, network.coordinator() as waiting:
        async with holder.lock("a", ttl=5):
            tasks = await _queue_up(waiting, "a", 3, _nothing)
            assert [node.table.waiter_count for node in network.nodes.values()] == [3] * len(network.nodes)
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            await time_passes(2 * network.delay)
            assert [node.table.waiter_count for node in network.nodes.values()] == [2] * len(network.nodes)
        await asyncio.gather(tasks[0], tasks[2])
    assert network.is_empty()


async def test_a_waiter_that_times_out_leaves_every_line_at_once(network: MemoryNetwork) -> None:
    async with network.coordinator() as holder, network.coordinator() as waiting, holder.lock("a", ttl=5):
        with pytest.raises(AcquireTimeout) as caught:
            await waiting.acquire("a", ttl=5, wait=0.5)
        await time_passes(2 * network.delay)
        assert [node.table.waiter_count for node in network.nodes.values()] == [0] * len(network.nodes)
        assert caught.value.held_by == ("client1",)


async def test_a_waiter_whose_connections_break_leaves_every_line_at_once(network: MemoryNetwork) -> None:
    async with network.coordinator() as holder, network.coordinator("leaver") as waiting, holder.lock("a", ttl=5):
        (task,) = await _queue_up(waiting, "a", 1, _nothing)
        network.cut("leaver", *network.nodes)
        for node in network.nodes.values():
            for connection in [c for c in node.connections if c.client == "leaver"]:
                connection.break_off()
        assert [node.table.waiter_count for node in network.nodes.values()] == [0] * len(network.nodes)
        task.cancel()
        await asyncio.wait([task])


async def test_a_waiter_that_falls_silent_leaves_every_line_after_three_heartbeats(network: MemoryNetwork) -> None:
    async with network.coordinator() as holder, network.coordinator("silent") as waiting, holder.lock("a", ttl=30):
        (task,) = await _queue_up(waiting, "a", 1, _nothing)
        network.cut("silent", *network.nodes)
        await time_passes(2.9)
        assert [node.table.waiter_count for node in network.nodes.values()] == [1] * len(network.nodes)
        await time_passes(0.2)
        assert [node.table.waiter_count for node in network.nodes.values()] == [0] * len(network.nodes)
        task.cancel()
        await asyncio.wait([task])


async def test_the_line_closes_up_when_its_head_vanishes(network: MemoryNetwork) -> None:
    served: list[int] = []
    async with network.coordinator() as holder, network.coordinator("silent") as silent, network.coordinator() as next_:
        async with holder.lock("a", ttl=5):
            (gone,) = await _queue_up(silent, "a", 1, lambda _number, _lease: served.append(-1))
            (task,) = await _queue_up(next_, "a", 1, lambda _number, _lease: served.append(1))
            network.cut("silent", *network.nodes)
            await time_passes(4)
        async with asyncio.timeout(1):
            await task
        gone.cancel()
        await asyncio.wait([gone])
    assert served == [1]
