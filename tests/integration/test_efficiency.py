"""Efficiency locks over real sockets: one host grants, the next one when it is down, and broken hosts are skipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from lockmanager import AcquireTimeout, Coordinator, LeaseLost, NotAcquired, QuorumUnavailable
from lockmanager.testing import LocalCluster
from tests.support.local import VARIANTS, running
from tests.support.relay import ways_to
from tests.support.waiting import DEADLINE, connections_are_refused, session_is_gone, sessions_are_live, until_told

NODE_TIMEOUT = 0.3
"""Seconds a silent host is waited for."""


@pytest.fixture(scope="module", params=VARIANTS)
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with running(processes=request.param) as cluster:
        yield cluster


@pytest.fixture
def name() -> str:
    return f"thumbnail/{uuid4()}"


async def seen(cluster: LocalCluster, name: str) -> dict[str, dict[str, Any]]:
    """Ask all nodes for an efficiency lock, and return what those that answer know of it."""
    found: dict[str, dict[str, Any]] = {}
    query = {"prefix": name, "space": "efficiency"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as http:
        for node, url in cluster.urls.items():
            with suppress(TimeoutError, aiohttp.ClientError):
                async with http.get(f"{url}/v1/locks", params=query) as answer:
                    found.update((node, lock) for lock in (await answer.json())["locks"] if lock["name"] == name)
    return found


async def hosts(cluster: LocalCluster, name: str) -> list[str]:
    """Return on which nodes the efficiency lock is held."""
    return [node for node, lock in (await seen(cluster, name)).items() if lock["holders"]]


async def host_of_next(coordinator: Coordinator, cluster: LocalCluster, name: str) -> str:
    """Acquire once and return who granted it."""
    async with coordinator.efficiency_lock(name, wait=0):
        (host,) = await hosts(cluster, name)
    return host


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Return how many seconds an action took."""
    begin = time.monotonic()
    await action()
    return time.monotonic() - begin


async def test_the_first_host_of_the_preference_list_grants_alone(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    async with one.efficiency_lock(name) as lease:
        assert lease.valid
        assert await hosts(cluster, name) == [cluster.cluster.preference(name)[0]]
    assert await hosts(cluster, name) == []


async def test_two_coordinators_exclude_each_other(one: Coordinator, other: Coordinator, name: str) -> None:
    async with one.efficiency_lock(name, label="one of us") as first:
        with pytest.raises(NotAcquired) as caught:
            async with other.efficiency_lock(name, wait=0):
                pytest.fail("two holders")
        assert caught.value.held_by == ("one of us",)
        with pytest.raises(AcquireTimeout):
            async with other.efficiency_lock(name, wait=0.1):
                pytest.fail("two holders")
    async with other.efficiency_lock(name, wait=0) as second:
        assert second.fence > first.fence


async def test_the_lock_is_handed_over_in_line(
    cluster: LocalCluster, one: Coordinator, other: Coordinator, name: str
) -> None:
    async def second() -> None:
        async with other.efficiency_lock(name, wait=DEADLINE) as lease:
            assert lease.fence > first.fence
            assert not first.valid

    async def in_line() -> bool:
        return any(lock["waiting"] == 1 for lock in (await seen(cluster, name)).values())

    async with one.efficiency_lock(name) as first:
        waiting = asyncio.create_task(second())
        await until_told(in_line, "a waiter")
        assert not waiting.done()
    async with asyncio.timeout(DEADLINE):
        await waiting


async def test_a_name_has_the_same_host_for_every_client_and_any_order_of_the_file(
    cluster: LocalCluster, one: Coordinator
) -> None:
    shuffled = msgspec.structs.replace(cluster.cluster, nodes=cluster.cluster.nodes[::-1])
    used = set()
    async with Coordinator(shuffled) as other:
        await sessions_are_live(other)
        for number in range(12):
            name = f"same host/{number}"
            host = await host_of_next(one, cluster, name)
            assert await host_of_next(other, cluster, name) == host
            used.add(host)
    assert used == set(cluster.node_ids)


async def test_the_next_host_grants_at_once_when_the_first_is_down(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    first, second, _ = cluster.cluster.preference(name)
    await cluster.kill(first)
    await session_is_gone(one, first)
    begin = time.monotonic()
    async with one.efficiency_lock(name, wait=0):
        assert time.monotonic() - begin < NODE_TIMEOUT
        assert await hosts(cluster, name) == [second]


async def test_a_host_that_is_back_is_used_again(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    first, second, _ = cluster.cluster.preference(name)
    await cluster.kill(first)
    await session_is_gone(one, first)
    assert await host_of_next(one, cluster, name) == second
    await cluster.start(first)
    await sessions_are_live(one)
    assert await host_of_next(one, cluster, name) == first


async def test_a_hung_host_is_waited_for_once_and_then_skipped_for_a_while(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    async def cycle() -> None:
        async with one.efficiency_lock(name, wait=5):
            pass

    await cluster.pause(cluster.cluster.preference(name)[0])
    assert await timed(cycle) >= NODE_TIMEOUT
    skipped = [await timed(cycle) for _ in range(5)]
    assert max(skipped) < NODE_TIMEOUT


async def test_a_hung_host_is_used_again_once_it_goes_on(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    first, second, _ = cluster.cluster.preference(name)

    async def is_used() -> bool:
        return await host_of_next(one, cluster, name) == first

    await cluster.pause(first)
    assert await host_of_next(one, cluster, name) == second
    await cluster.resume(first)
    await until_told(is_used, "the use of a host that goes on again", within=3)


async def test_skipping_spares_the_broken_host_only(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    broken = cluster.cluster.preference(name)[0]
    elsewhere = next(other for n in range(99) if cluster.cluster.preference(other := f"{name}/{n}")[0] != broken)
    await cluster.kill(broken)
    await session_is_gone(one, broken)
    await host_of_next(one, cluster, name)
    assert await host_of_next(one, cluster, elsewhere) == cluster.cluster.preference(elsewhere)[0]


async def test_without_any_host_each_cause_is_named_within_the_wait(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    await cluster.kill(*cluster.node_ids)
    await connections_are_refused(one, *cluster.node_ids)
    for wait in (0.0, 0.3):
        begin = time.monotonic()
        with pytest.raises(QuorumUnavailable) as caught:
            async with one.efficiency_lock(name, wait=wait):
                pytest.fail("held without a host")
        assert wait <= time.monotonic() - begin < wait + 1.5
        assert caught.value.causes == dict.fromkeys(cluster.node_ids, "connection refused")


async def test_one_host_is_enough(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    *broken, last = cluster.cluster.preference(name)
    await cluster.kill(broken[0])
    await cluster.pause(broken[1])
    assert await host_of_next(one, cluster, name) == last


async def test_the_death_of_the_host_is_a_lost_lease_and_no_second_acquisition(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    host = cluster.cluster.preference(name)[0]

    async def hold() -> None:
        async with one.efficiency_lock(name, ttl=1):
            await cluster.kill(host)
            async with asyncio.timeout(DEADLINE):
                await asyncio.Event().wait()

    with pytest.raises(LeaseLost, match=name):
        await hold()
    assert await hosts(cluster, name) == []


async def test_a_host_that_is_back_with_its_journal_in_time_still_has_the_lease(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    host = cluster.cluster.preference(name)[0]
    async with one.efficiency_lock(name, ttl=20) as lease:
        await cluster.kill(host)
        await cluster.start(host)
        await sessions_are_live(one)
        async with asyncio.timeout(DEADLINE):
            await lease.renew()
        assert await hosts(cluster, name) == [host]


async def test_a_client_cut_off_from_the_first_host_uses_the_next(cluster: LocalCluster, name: str) -> None:
    first, second, _ = cluster.cluster.preference(name)
    async with ways_to(cluster.cluster) as ways, Coordinator(ways.cluster) as far:
        await sessions_are_live(far)
        ways.cut([first])
        assert await host_of_next(far, cluster, name) == second


async def test_locks_of_the_two_kinds_do_not_exclude_each_other(one: Coordinator, name: str) -> None:
    async with one.lock(name, wait=0), one.efficiency_lock(name, wait=0) as lease:
        assert lease.valid
