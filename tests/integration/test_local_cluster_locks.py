"""What a quorum lock promises while all nodes run, over nodes in threads and in processes alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest

from lockmanager import AcquireTimeout, Coordinator, NotAcquired, RequestRejected
from lockmanager.testing import LocalCluster
from tests.support.local import VARIANTS, running
from tests.support.waiting import free, held_on, in_line, sessions_are_live


@pytest.fixture(scope="module", params=VARIANTS)
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    with running(processes=request.param) as cluster:
        yield cluster


@pytest.fixture
async def one(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="one") as coordinator:
        yield coordinator


@pytest.fixture
async def other(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="other") as coordinator:
        yield coordinator


@pytest.fixture
def name() -> str:
    return f"orders/{uuid4()}"


async def test_a_lock_is_held_for_the_length_of_its_block(one: Coordinator, name: str) -> None:
    async with one.lock(name, ttl=5) as lease:
        assert lease.valid
        assert lease.name == name
        assert lease.ttl == 5
        assert 4 < lease.remaining() < 5
    assert not lease.valid
    assert not lease.lost.is_set()
    await free(one, name)


async def test_a_released_lock_is_free_for_the_next(one: Coordinator, other: Coordinator, name: str) -> None:
    first = await one.acquire(name)
    await first.release()
    second = await other.acquire(name, wait=0)
    await second.release()


async def test_two_coordinators_exclude_each_other(one: Coordinator, other: Coordinator, name: str) -> None:
    inside = 0

    async def work(coordinator: Coordinator) -> None:
        nonlocal inside
        for _ in range(20):
            async with coordinator.lock(name, wait=10):
                inside += 1
                await asyncio.sleep(0)
                assert inside == 1
                inside -= 1

    async with asyncio.TaskGroup() as group:
        for coordinator in (one, other, one, other):
            group.create_task(work(coordinator))


async def test_every_holder_has_a_larger_fence_than_the_one_before(
    one: Coordinator, other: Coordinator, name: str
) -> None:
    fences: list[int] = []

    async def work(coordinator: Coordinator) -> None:
        for _ in range(20):
            async with coordinator.lock(name, wait=10) as lease:
                fences.append(lease.fence)

    await asyncio.gather(work(one), work(other), work(one))
    assert len(fences) == 60
    assert all(before < after for before, after in pairwise(fences))


async def test_readers_stand_together_and_a_writer_comes_after_them(
    one: Coordinator, other: Coordinator, name: str
) -> None:
    readers = [await coordinator.acquire(name, shared=True, wait=5) for coordinator in (one, other, one)]
    writing = asyncio.create_task(other.acquire(name, wait=10))
    await in_line(one, name)
    assert [reader.valid for reader in readers] == [True] * 3
    assert not writing.done()
    for reader in readers:
        await reader.release()
    writer = await writing
    assert writer.fence > max(reader.fence for reader in readers)
    await writer.release()


async def test_readers_behind_a_waiting_writer_do_not_pass_it(one: Coordinator, other: Coordinator, name: str) -> None:
    order: list[str] = []

    async def take(coordinator: Coordinator, who: str, *, shared: bool) -> None:
        async with coordinator.lock(name, shared=shared, wait=10):
            order.append(who)

    reader = await one.acquire(name, shared=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(take(other, "writer", shared=False))
        await in_line(one, name, 1)
        group.create_task(take(one, "late reader", shared=True))
        await in_line(one, name, 2)
        await reader.release()
    assert order == ["writer", "late reader"]


async def test_the_line_is_served_in_order_and_the_grant_is_pushed(
    one: Coordinator, other: Coordinator, name: str
) -> None:
    order: list[int] = []

    async def take(coordinator: Coordinator, place: int) -> None:
        async with coordinator.lock(name, wait=10):
            order.append(place)

    held = await one.acquire(name)
    async with asyncio.TaskGroup() as group:
        for place in range(6):
            group.create_task(take((one, other)[place % 2], place))
            await in_line(one, name, place + 1)
        await held.release()
    assert order == list(range(6))


async def test_a_try_names_the_holder_at_once(one: Coordinator, other: Coordinator, name: str) -> None:
    async with one.lock(name, label="nightly report"):
        with pytest.raises(NotAcquired) as caught:
            await other.acquire(name, wait=0)
    assert caught.value.held_by == ("nightly report",)
    assert "nightly report" in str(caught.value)
    assert list(caught.value.answers.values()).count("refused") >= 2


async def test_a_turn_that_does_not_come_in_time_is_an_acquire_timeout(
    one: Coordinator, other: Coordinator, name: str
) -> None:
    async with one.lock(name):
        with pytest.raises(AcquireTimeout) as caught:
            await other.acquire(name, wait=0.1)
        assert caught.value.wait == 0.1
        assert caught.value.held_by == ("one",)
        report = await held_on(one, name, 3)
        assert report.waiting == 0


async def test_a_cancelled_waiter_leaves_the_line(one: Coordinator, other: Coordinator, name: str) -> None:
    async with one.lock(name):
        waiting = asyncio.create_task(other.acquire(name))
        await in_line(one, name)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await in_line(one, name, 0)


async def test_a_coordinator_that_goes_away_leaves_nothing_behind(
    cluster: LocalCluster, one: Coordinator, name: str
) -> None:
    async with cluster.coordinator() as brief:
        lease = await brief.acquire(name)
        await held_on(one, name, 3)
    assert not lease.valid
    await free(one, name)


async def test_a_lease_is_renewed_past_many_ttls(one: Coordinator, name: str) -> None:
    async with one.lock(name, ttl=1.5) as lease:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4.7):
                await lease.lost.wait()
        assert lease.valid


async def test_a_renewal_can_change_the_ttl(one: Coordinator, name: str) -> None:
    async with one.lock(name, ttl=5) as lease:
        await lease.renew(20)
        assert lease.ttl == 20
        assert lease.remaining() > 15
        with pytest.raises(RequestRejected, match="ttl"):
            await lease.renew(-1)
        assert lease.ttl == 20


async def test_a_ttl_of_a_day_is_held_in_full_from_the_start(one: Coordinator, name: str) -> None:
    async with one.lock(name, ttl=86_400) as lease:
        assert lease.remaining() > 80_000
        assert (await held_on(one, name, 3)).holders[0].remaining > 80_000


async def test_inspect_tells_who_holds_and_how_many_wait(one: Coordinator, other: Coordinator, name: str) -> None:
    await sessions_are_live(one)
    async with one.lock(name, ttl=7, label="the holder") as lease:
        waiting = asyncio.create_task(other.acquire(name, wait=10))
        await in_line(one, name)
        report = await other.inspect(name)
        assert report.held
        assert report.causes == {}
        (holder,) = report.holders
        assert (holder.label, holder.fence, holder.nodes, holder.shared) == ("the holder", lease.fence, 3, False)
        assert 0 < holder.remaining <= 7
    await (await waiting).release()


async def test_any_node_tells_the_whole_cluster(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    for url in cluster.urls.values():
        async with Coordinator.discover(url, label="discovered") as discovered, discovered.lock(name):
            with pytest.raises(NotAcquired, match="discovered"):
                await one.acquire(name, wait=0)


async def test_the_file_of_the_cluster_is_enough(cluster: LocalCluster, one: Coordinator, name: str) -> None:
    async with Coordinator.from_config(cluster.config_path, label="by file") as configured, configured.lock(name):
        with pytest.raises(NotAcquired, match="by file"):
            await one.acquire(name, wait=0)


@pytest.mark.parametrize("odd", ["/../..", "a b", "ключ", "%2e%zz", "?#&+", "x" * 255, "\x00", "\n"])
async def test_any_text_is_a_name(one: Coordinator, other: Coordinator, odd: str) -> None:
    async with one.lock(odd, wait=5):
        assert (await held_on(one, odd, 3)).held
        with pytest.raises(NotAcquired):
            await other.acquire(odd, wait=0)


async def test_nodes_start_together_however_few_threads_the_loop_has_to_spare() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with (
        asyncio.timeout(30),
        LocalCluster(3) as local,
        local.coordinator() as coordinator,
        coordinator.lock("orders/42") as lease,
    ):
        assert lease.valid
