"""What a quorum lock promises while nodes are killed, stand still, stop and come back; in threads and in processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from lockmanager import ConfigurationError, Coordinator, QuorumUnavailable
from lockmanager.testing import LocalCluster
from tests.support.local import VARIANTS, running
from tests.support.waiting import connections_are_refused, free, held_on, in_line, session_is_gone

pytestmark = pytest.mark.slow

SLACK = 1.5
"""Seconds a loaded machine may add to a bound that a test holds an error to."""


@pytest.fixture(scope="module", params=VARIANTS)
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with running(processes=request.param) as cluster:
        yield cluster


@pytest.fixture
def name() -> str:
    return f"orders/{uuid4()}"


async def cycle(coordinator: Coordinator, name: str, *, wait: float | None = 5) -> int:
    """Acquire and release once, and return the fence."""
    async with coordinator.lock(name, ttl=5, wait=wait) as lease:
        return lease.fence


@pytest.mark.parametrize("fault", ["kill", "pause", "stop"])
async def test_one_node_of_three_may_fail(
    cluster: LocalCluster, one: Coordinator, other: Coordinator, name: str, fault: str
) -> None:
    before = await cycle(one, name)
    await getattr(cluster, fault)("node2")
    fences = [await cycle(coordinator, name, wait=wait) for wait in (5, 0) for coordinator in (one, other)]
    assert [before, *fences] == sorted({before, *fences})


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_coordinator_opened_while_one_node_is_away_works(cluster: LocalCluster, name: str, fault: str) -> None:
    await getattr(cluster, fault)("node1")
    async with cluster.coordinator() as late:
        await cycle(late, name, wait=0)


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_the_lock_is_handed_over_while_a_node_is_away(
    cluster: LocalCluster, one: Coordinator, other: Coordinator, name: str, fault: str
) -> None:
    async with one.lock(name) as first:
        waiting = asyncio.create_task(other.acquire(name, wait=10))
        await in_line(one, name)
        await getattr(cluster, fault)("node3")
    second = await waiting
    assert second.fence > first.fence
    await second.release()


async def test_without_two_nodes_each_cause_is_named_within_the_wait(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    await cluster.kill("node1")
    await cluster.pause("node3")
    await connections_are_refused(one, "node1")
    for wait in (0, 0.2, 0.6):
        begin = time.monotonic()
        with pytest.raises(QuorumUnavailable) as caught:
            await one.acquire(name, wait=wait)
        assert wait <= time.monotonic() - begin < max(wait, 0.3) + SLACK
        assert caught.value.needed == 2
        assert caught.value.reachable == 1
        assert caught.value.causes["node1"] == "connection refused"
        assert caught.value.causes["node3"] == "no answer"
        assert "node1: connection refused" in str(caught.value)


async def test_nodes_in_reach_are_told_from_those_that_are_not(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    await cluster.kill("node1", "node2")
    await connections_are_refused(one, "node1", "node2")
    with pytest.raises(QuorumUnavailable) as caught:
        await one.acquire(name, wait=0.2)
    assert caught.value.reachable == 1
    assert caught.value.causes["node1"] == caught.value.causes["node2"] == "connection refused"
    assert caught.value.causes["node3"] == "in reach"


async def test_a_try_without_any_node_fails_soon(cluster: LocalCluster, name: str) -> None:
    await cluster.kill(*cluster.node_ids)
    async with cluster.coordinator() as coordinator:
        with pytest.raises(QuorumUnavailable) as caught:
            async with asyncio.timeout(SLACK):
                await coordinator.acquire(name, wait=0)
    assert caught.value.reachable == 0


@pytest.mark.parametrize("fault", ["kill", "stop"])
async def test_a_waiting_acquisition_succeeds_soon_after_the_nodes_are_back(
    cluster: LocalCluster, one: Coordinator, name: str, fault: str
) -> None:
    await getattr(cluster, fault)("node1", "node2")
    waiting = asyncio.create_task(one.acquire(name))
    await session_is_gone(one, "node1")
    await session_is_gone(one, "node2")
    assert not waiting.done()
    await cluster.start("node1", "node2")
    async with asyncio.timeout(2):
        await (await waiting).release()


async def test_a_waiting_acquisition_succeeds_soon_after_hung_nodes_go_on(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    await cluster.pause("node1", "node2")
    waiting = asyncio.create_task(one.acquire(name, ttl=1))
    await session_is_gone(one, "node1")
    assert not waiting.done()
    await cluster.resume("node1", "node2")
    async with asyncio.timeout(2):
        await (await waiting).release()


async def test_a_later_acquisition_works_after_the_nodes_are_back(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    await cluster.kill("node1", "node2")
    with pytest.raises(QuorumUnavailable):
        await one.acquire(name, wait=0)
    await cluster.start("node1", "node2")
    await cycle(one, name, wait=2)


async def test_a_restarted_node_is_filled_by_the_holder(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    async with one.lock(name, ttl=5) as lease:
        for fault in (cluster.kill, cluster.stop):
            await fault("node1")
            assert "node1" in (await one.inspect(name)).causes
            await cluster.start("node1")
            report = await held_on(one, name, 3)
            assert report.causes == {}
        assert lease.valid
    await free(one, name)


@pytest.mark.parametrize("contended", [False, True], ids=["alone", "with a waiter"])
async def test_a_holder_survives_one_node_after_another(
    cluster: LocalCluster, one: Coordinator, other: Coordinator, name: str, contended: bool
) -> None:
    async with one.lock(name, ttl=2) as lease:
        waiting = asyncio.create_task(other.acquire(name, ttl=2)) if contended else None
        for fault, mended in ((cluster.stop, cluster.start), (cluster.kill, cluster.start)):
            for node in cluster.node_ids:
                await fault(node)
                await session_is_gone(one, node)
                await mended(node)
                await held_on(one, name, 3)
                assert waiting is None or not waiting.done()
        assert lease.valid
    if waiting is not None:
        second = await waiting
        assert second.fence > lease.fence
        await second.release()


async def test_a_holder_survives_one_node_after_another_standing_still_past_the_ttl(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    async with one.lock(name, ttl=0.5) as lease:
        for node in cluster.node_ids:
            await cluster.pause(node)
            await session_is_gone(one, node)
            await cluster.resume(node)
            await held_on(one, name, 3)
        assert lease.valid


async def test_a_node_that_is_away_is_named_by_inspect(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    await cluster.kill("node1")
    await cluster.pause("node2")
    report = await one.inspect(name, timeout=0.2)
    assert not report.held
    assert report.causes == {"node1": "connection refused", "node2": "no answer in time"}


async def test_the_cluster_is_remembered_while_the_node_that_told_it_is_down(cluster: LocalCluster, name: str) -> None:
    url = cluster.urls["node2"]
    async with Coordinator.discover(url):
        pass
    await cluster.kill("node2")
    async with Coordinator.discover(url) as coordinator:
        await cycle(coordinator, name, wait=0)
    unknown = f"http://127.0.0.1:{url.rpartition(':')[2]}/"
    with pytest.raises(ConfigurationError, match="cannot read the cluster"):
        await Coordinator.discover(unknown.replace("127.0.0.1", "localhost")).__aenter__()
