"""Readers and writers in one line: fences that tell who came after whom, and no order that gets stuck."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from lockmanager import Lease
from tests.support.memory_network import MemoryNetwork, time_passes


async def test_a_reader_after_a_writer_and_a_writer_after_readers_have_larger_fences() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as one, network.coordinator(skew=-3_600_000_000) as behind:
        async with one.lock("a") as writer:
            pass
        async with behind.lock("a", shared=True) as first, one.lock("a", shared=True) as second:
            assert first.fence > writer.fence
            assert second.fence > writer.fence
        async with behind.lock("a") as last:
            assert last.fence > max(first.fence, second.fence)


async def _run_in_order(network: MemoryNetwork, order: tuple[bool, ...]) -> list[tuple[bool, int]]:
    """Let readers (True) and writers ask at once, from two clients; returns them with fences as they finished."""
    holding: list[tuple[bool, Lease]] = []
    done: list[tuple[bool, int]] = []

    async with network.coordinator() as one, network.coordinator(skew=-1_000) as two:

        async def work(number: int, shared: bool) -> None:
            async with (one, two)[number % 2].lock("a", ttl=5, shared=shared) as lease:
                holding.append((shared, lease))
                assert len(holding) == 1 or all(other for other, _ in holding)
                await time_passes(0.005)
                holding.remove((shared, lease))
                done.append((shared, lease.fence))

        async with asyncio.timeout(10):
            await asyncio.gather(*(work(number, shared) for number, shared in enumerate(order)))
        await time_passes(3 * network.delay)
        assert network.is_empty()
    return done


@pytest.mark.parametrize("nodes", [3, 5])
async def test_no_order_of_readers_and_writers_gets_stuck(nodes: int) -> None:
    """All 2^6 orders of readers and writers."""
    orders = list(product([False, True], repeat=6))
    for order in orders:
        done = await _run_in_order(MemoryNetwork(nodes), order)
        assert len(done) == len(order)
        for place, (earlier_shared, earlier) in enumerate(done):
            for later_shared, later in done[place + 1 :]:
                assert (earlier_shared and later_shared) or later > earlier, f"{order}: {done}"
    assert len(orders) == 64
