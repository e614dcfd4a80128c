"""Real processes, real signals: whatever one node of three suffers at any moment, locking goes on and fences rise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from lockmanager import Coordinator
from lockmanager.testing import LocalCluster
from tests.support.waiting import sessions_are_live, until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

NAME = "the one row everybody writes"
CYCLES = 12
"""Acquisitions each worker must get through in every state of the cluster before the next thing happens."""


class Worker:
    """Acquires and releases one lock over and over; any error ends the test."""

    def __init__(self, coordinator: Coordinator, written: list[int]) -> None:
        self.cycles = 0
        self._coordinator = coordinator
        self._written = written

    async def work(self) -> None:
        while True:
            async with self._coordinator.lock(NAME, ttl=5, wait=10) as lease:
                self._written.append(lease.fence)
                await asyncio.sleep(0)
            self.cycles += 1


class Crowd:
    """Several workers of several coordinators."""

    def __init__(self, coordinators: list[Coordinator]) -> None:
        self.fences: list[int] = []
        self.workers = [Worker(coordinator, self.fences) for coordinator in coordinators for _ in range(2)]
        self._tasks = [asyncio.create_task(worker.work()) for worker in self.workers]

    async def goes_on(self) -> None:
        """Wait until every worker got the lock some more times."""
        goals = [worker.cycles + CYCLES for worker in self.workers]

        def reached() -> bool:
            failed = [task for task in self._tasks if task.done()]
            if failed:
                failed[0].result()
            return all(worker.cycles >= goal for worker, goal in zip(self.workers, goals, strict=True))

        await until(reached, f"{CYCLES} more acquisitions of every worker")

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(processes=True) as cluster:
        yield cluster


@pytest.fixture
async def coordinators(cluster: LocalCluster) -> AsyncIterator[list[Coordinator]]:
    async with cluster.coordinator() as one, cluster.coordinator() as other:
        yield [one, other]


@pytest.fixture
async def crowd(coordinators: list[Coordinator]) -> AsyncIterator[Crowd]:
    crowd = Crowd(coordinators)
    try:
        yield crowd
    finally:
        await crowd.end()


async def test_each_node_in_turn_may_stand_still_or_die_in_the_middle_of_the_work(
    cluster: LocalCluster, coordinators: list[Coordinator], crowd: Crowd
) -> None:
    async def happens(what: Callable[[str], Awaitable[None]], node: str) -> None:
        await what(node)
        await crowd.goes_on()

    await crowd.goes_on()
    for node in cluster.node_ids:
        for fault, mended in ((cluster.pause, cluster.resume), (cluster.kill, cluster.start)):
            await happens(fault, node)
            await happens(mended, node)
            for coordinator in coordinators:
                await sessions_are_live(coordinator)
            await crowd.goes_on()
    assert len(crowd.fences) > 18 * CYCLES * len(crowd.workers)
    assert all(before < after for before, after in pairwise(crowd.fences))


async def test_a_node_that_is_frozen_and_killed_mid_flight_costs_nobody_the_lock(
    cluster: LocalCluster, crowd: Crowd
) -> None:
    for node in ("node1", "node2"):
        await cluster.pause(node)
        await cluster.kill(node)
        await crowd.goes_on()
        await cluster.start(node)
        await crowd.goes_on()
    assert crowd.fences == sorted(set(crowd.fences))
