"""A brand-new cluster of real processes serves at once, with the product's own silence of half a minute in force."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from lockmanager import Coordinator, QuorumUnavailable
from lockmanager.durations import seconds
from tests.support.judge import Contest, Hold
from tests.support.quick_cluster import QuickCluster, Ready, now
from tests.support.side_by_side import Played, played
from tests.support.waiting import sessions_are_live, until_told

pytestmark = [pytest.mark.processes, pytest.mark.slow]

AT_ONCE = 12.0
"""Seconds within which nodes of a new cluster serve on a loaded machine; the silence is far longer."""

APART = 1.5
"""Seconds between two starts."""

STARTS = 10
"""First starts under fire."""

LONGEST_DELAY = 0.3
"""Seconds a node may start later than another one of a cluster that is started at once."""


async def first_start(cluster: QuickCluster) -> float:
    """Start all nodes on empty disks, and return for how many seconds the last one was up and not ready."""
    await cluster.start(*cluster.node_ids, ready=False)
    up = now()
    ready = await cluster.until_ready(*cluster.node_ids, within=AT_ONCE)
    async with cluster.coordinator() as coordinator, coordinator.lock("orders/42", wait=AT_ONCE):
        return seconds(ready - up)


async def all_at_once() -> float:
    async with QuickCluster(silence=0, started=False) as cluster:
        return await first_start(cluster)


async def with_keys() -> float:
    async with QuickCluster(silence=0, started=False, keys=("first", "second")) as cluster:
        return await first_start(cluster)


async def in_memory() -> float:
    async with QuickCluster(silence=0, started=False, journal=False) as cluster:
        return await first_start(cluster)


async def five_nodes() -> float:
    async with QuickCluster(5, silence=0, started=False) as cluster:
        return await first_start(cluster)


@dataclass(frozen=True)
class Apart:
    """Nodes that were started one after another: what was said before the last one, and what came of it."""

    before: list[Ready]
    over_http: int
    refused: QuorumUnavailable
    took: float


async def one_after_another() -> Apart:
    async with QuickCluster(silence=0, started=False) as cluster, cluster.coordinator() as coordinator:
        *first, last = cluster.node_ids
        for node in first:
            await cluster.start(node, ready=False)
            await asyncio.sleep(APART)
        await sessions_are_live(coordinator, *first)
        refused = await refusal(coordinator)
        before = [await cluster.ready(node) for node in first]
        over_http = await acquire_over_http(cluster.urls[first[0]])
        await cluster.start(last, ready=False)
        up = now()
        ready = await cluster.until_ready(*cluster.node_ids, within=AT_ONCE)
        await (await coordinator.acquire("orders/42", wait=AT_ONCE)).release()
        return Apart(before, over_http, refused, seconds(ready - up))


async def refusal(coordinator: Coordinator) -> QuorumUnavailable:
    with pytest.raises(QuorumUnavailable) as caught:
        await coordinator.acquire("orders/42", wait=0.5)
    return caught.value


async def acquire_over_http(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/acquire", json={"name": "own"}) as answer:
        return answer.status


async def interrupted() -> float:
    """Two nodes come up and have asked each other; they are stopped and killed before the third was ever there."""
    async with QuickCluster(silence=0, started=False) as cluster:
        await cluster.start("node1", "node2", ready=False)
        await asyncio.gather(met(cluster, "node1", "node2"), met(cluster, "node2", "node1"))
        await cluster.stop("node1")
        await cluster.kill("node2")
        return await first_start(cluster)


async def met(cluster: QuickCluster, node: str, peer: str) -> None:
    """Wait until a node has heard a peer."""

    async def has() -> bool:
        return f"{peer}: it recovers too" in (await cluster.ready(node)).detail

    await until_told(has, f"{node} has heard {peer}")


async def under_fire() -> list[list[Hold]]:
    return [await hammered(random.Random(seed)) for seed in range(STARTS)]


async def hammered(chance: random.Random) -> list[Hold]:
    """Start the nodes at nearly the same time while clients already ask; none of them may become silent."""

    async def start(node: str) -> None:
        await asyncio.sleep(chance.uniform(0, LONGEST_DELAY))
        await cluster.start(node, ready=False)

    async with (
        QuickCluster(silence=0, started=False) as cluster,
        cluster.coordinator() as one,
        cluster.coordinator() as other,
        Contest((one, other)) as contest,
    ):
        await asyncio.gather(*(start(node) for node in cluster.node_ids))
        await cluster.until_ready(*cluster.node_ids, within=AT_ONCE)
        await contest.goes_on()
        return contest.judge.holds


SCENES = (all_at_once, with_keys, in_memory, five_nodes, one_after_another, interrupted, under_fire)


@pytest.fixture(scope="module")
def after() -> Iterator[Played]:
    with played(*SCENES) as outcomes:
        yield outcomes


def test_all_nodes_started_at_once_serve_at_once(after: Played) -> None:
    assert after(all_at_once) < AT_ONCE


def test_five_nodes_started_at_once_serve_at_once(after: Played) -> None:
    assert after(five_nodes) < AT_ONCE


def test_nodes_that_want_keys_know_each_other_without_one(after: Played) -> None:
    assert after(with_keys) < AT_ONCE


def test_nodes_without_disks_serve_at_once(after: Played) -> None:
    assert after(in_memory) < AT_ONCE


def test_nodes_started_seconds_apart_serve_as_soon_as_the_last_one_is_there(after: Played) -> None:
    assert after(one_after_another).took < AT_ONCE


def test_nobody_grants_before_every_node_has_said_that_the_cluster_is_new(after: Played) -> None:
    told = after(one_after_another)
    assert [(ready.status, ready.code) for ready in told.before] == [(503, "recovering")] * 2
    assert told.over_http == 503
    assert (told.refused.needed, told.refused.reachable) == (2, 0)
    causes = dict(told.refused.causes)
    assert causes.pop("node3") == "connection refused"
    assert causes == {"node1": "recovering", "node2": "recovering"}


def test_a_node_that_waits_for_the_last_one_says_so(after: Played) -> None:
    for ready, peer in zip(after(one_after_another).before, ("node2", "node1"), strict=True):
        assert f"{peer}: it recovers too" in ready.detail
        assert "node3: connection refused" in ready.detail


def test_a_first_start_that_was_interrupted_is_a_first_start_again(after: Played) -> None:
    assert after(interrupted) < AT_ONCE


def test_no_node_becomes_silent_because_clients_ask_while_it_starts(after: Played) -> None:
    starts = after(under_fire)
    assert len(starts) == STARTS
    assert all(len({hold.who for hold in holds}) == 2 for holds in starts)
