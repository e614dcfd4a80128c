"""How the body of `async with lock(...)` ends when its lease is lost: as `asyncio.timeout` would end it."""

# ruff: noqa: PT012 - the block under test is one statement

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from lockmanager import Coordinator, Lease, LeaseLost, RequestRejected
from lockmanager.testing import LocalCluster
from tests.support.local import revoke, running
from tests.support.waiting import DEADLINE, free


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with running() as cluster:
        yield cluster


@pytest.fixture
async def coordinator(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator() as coordinator:
        yield coordinator


@pytest.fixture
def name() -> str:
    return f"orders/{uuid4()}"


class Operator:
    """Revokes leases from outside, so that no body is cancelled while it does so itself."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._tasks: list[asyncio.Task[None]] = []

    def revokes(self, name: str) -> None:
        self._tasks.append(asyncio.create_task(revoke(self._cluster, name)))

    async def lose(self, lease: Lease) -> None:
        """Let a lease be lost, and return when its holder knows."""
        self.revokes(lease.name)
        async with asyncio.timeout(DEADLINE):
            await lease.lost.wait()

    async def done(self) -> None:
        await asyncio.gather(*self._tasks)


@pytest.fixture
async def operator(cluster: LocalCluster) -> AsyncIterator[Operator]:
    operator = Operator(cluster)
    yield operator
    await operator.done()


async def for_ever() -> None:
    """Wait for a cancellation; fails when none comes."""
    async with asyncio.timeout(DEADLINE):
        await asyncio.Event().wait()


def void(_: object) -> None:
    """Drop what a callback returns."""


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_the_body_is_cancelled_and_the_caller_gets_lease_lost(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    cancelled = False
    with pytest.raises(LeaseLost, match="an operator revoked it") as caught:
        async with coordinator.lock(name) as lease:
            operator.revokes(name)
            try:
                await for_ever()
            except asyncio.CancelledError:
                cancelled = True
                raise
    assert cancelled
    assert caught.value.fence == lease.fence
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_the_task_is_as_good_as_new_after_lease_lost_is_caught(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    with pytest.raises(LeaseLost):
        async with coordinator.lock(name):
            operator.revokes(name)
            await for_ever()
    assert cancelling() == 0
    await asyncio.sleep(0)
    async with coordinator.lock(name, wait=5) as lease:
        assert lease.valid


async def test_a_body_that_swallows_the_cancellation_still_ends_in_lease_lost(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    went_on = False
    with pytest.raises(LeaseLost):
        async with coordinator.lock(name):
            operator.revokes(name)
            with suppress(asyncio.CancelledError):
                await for_ever()
            await asyncio.sleep(0)
            went_on = True
    assert went_on
    assert cancelling() == 0


async def test_a_body_that_returns_after_the_loss_ends_in_lease_lost(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    async def body() -> str:
        async with coordinator.lock(name):
            operator.revokes(name)
            with suppress(asyncio.CancelledError):
                await for_ever()
            return "done"

    with pytest.raises(LeaseLost):
        await body()


async def test_a_body_keeps_its_own_error(operator: Operator, coordinator: Coordinator, name: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with coordinator.lock(name):
            operator.revokes(name)
            try:
                await for_ever()
            finally:
                raise ZeroDivisionError
    assert cancelling() == 0
    with pytest.raises(ZeroDivisionError):
        async with coordinator.lock(name, wait=5):
            raise ZeroDivisionError
    await free(coordinator, name)


async def test_a_cancellation_from_outside_stays_one(coordinator: Coordinator, name: str) -> None:
    entered = asyncio.Event()

    async def body() -> None:
        async with coordinator.lock(name):
            entered.set()
            await for_ever()

    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await free(coordinator, name)


@pytest.mark.parametrize("order", ["loss first", "cancel first"])
async def test_a_cancellation_together_with_a_loss_stays_a_cancellation(
    operator: Operator, coordinator: Coordinator, name: str, order: str
) -> None:
    got: list[Lease] = []

    async def body() -> None:
        async with coordinator.lock(name) as lease:
            got.append(lease)
            entered.set()
            await for_ever()

    entered = asyncio.Event()
    task = asyncio.create_task(body())
    await entered.wait()
    if order == "loss first":
        got[0].call_when_lost(lambda: void(task.cancel()))
    else:
        # The block's own callback runs after this one.
        got[0]._run._on_lost.insert(0, lambda: void(task.cancel()))
    await operator.lose(got[0])
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_a_body_that_swallows_both_a_loss_and_a_cancellation_ends_in_lease_lost(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    async def body() -> None:
        async with coordinator.lock(name) as lease:
            task = asyncio.current_task()
            assert task is not None
            lease.call_when_lost(lambda: void(task.cancel()))
            operator.revokes(name)
            with suppress(asyncio.CancelledError):
                await for_ever()

    with pytest.raises(LeaseLost):
        await asyncio.create_task(body())


async def test_a_timeout_around_the_block_stays_a_timeout(coordinator: Coordinator, name: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), coordinator.lock(name):
            await asyncio.Event().wait()
    assert cancelling() == 0
    await free(coordinator, name)


async def test_a_loss_under_a_timeout_is_lease_lost(operator: Operator, coordinator: Coordinator, name: str) -> None:
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(DEADLINE) as limit, coordinator.lock(name):
            operator.revokes(name)
            await for_ever()
    assert not limit.expired()
    assert cancelling() == 0


async def test_a_timeout_inside_the_block_stays_the_bodys_own(coordinator: Coordinator, name: str) -> None:
    async with coordinator.lock(name) as lease:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        assert lease.valid
    assert cancelling() == 0


async def test_a_loss_at_the_moment_of_a_timeout_inside_is_lease_lost(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    with pytest.raises(LeaseLost):
        async with coordinator.lock(name) as lease, asyncio.timeout(DEADLINE) as limit:
            lease.call_when_lost(lambda: limit.reschedule(0))
            operator.revokes(name)
            await for_ever()
    assert cancelling() == 0


async def test_a_loss_ends_the_tasks_of_a_group_inside_the_block(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    ended = []

    async def child(number: int) -> None:
        try:
            await for_ever()
        finally:
            ended.append(number)

    with pytest.raises(LeaseLost):
        async with coordinator.lock(name), asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(child(number))
            operator.revokes(name)
            await for_ever()
    assert sorted(ended) == [0, 1, 2]
    assert cancelling() == 0


async def test_a_loss_in_one_task_of_a_group_fails_the_group(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    async def hold() -> None:
        async with coordinator.lock(name):
            operator.revokes(name)
            await for_ever()

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            group.create_task(for_ever())
    (error,) = caught.value.exceptions
    assert isinstance(error, LeaseLost)


async def test_the_loss_of_the_outer_of_two_locks_is_told_by_the_outer(
    operator: Operator, coordinator: Coordinator, name: str
) -> None:
    with pytest.raises(LeaseLost) as caught:
        async with coordinator.lock(name), coordinator.lock(f"{name}/inner"):
            operator.revokes(name)
            await for_ever()
    assert caught.value.name == name
    assert cancelling() == 0
    await free(coordinator, f"{name}/inner")


async def test_on_lost_signal_leaves_the_body_alone(operator: Operator, coordinator: Coordinator, name: str) -> None:
    async with coordinator.lock(name, on_lost="signal") as lease:
        await operator.lose(lease)
        await asyncio.sleep(0)
        assert not lease.valid
        with pytest.raises(LeaseLost):
            lease.check()
    assert cancelling() == 0


async def test_another_value_of_on_lost_is_refused_at_once(coordinator: Coordinator, name: str) -> None:
    with pytest.raises(RequestRejected, match="on_lost"):
        coordinator.lock(name, on_lost="ignore")  # type: ignore[arg-type]  # the mistake under test


async def test_a_lost_lease_says_so_in_every_way(operator: Operator, coordinator: Coordinator, name: str) -> None:
    told = []
    lease = await coordinator.acquire(name)
    lease.call_when_lost(lambda: told.append("before"))
    lease.check()
    await operator.lose(lease)
    lease.call_when_lost(lambda: told.append("after"))
    await asyncio.sleep(0)
    assert told == ["before", "after"]
    assert lease.lost.is_set()
    assert not lease.valid
    assert lease.remaining() == 0.0
    for ask in (lease.check, lease.renew):
        with pytest.raises(LeaseLost, match="an operator revoked it") as caught:
            if (asked := ask()) is not None:
                await asked
        assert (caught.value.name, caught.value.fence) == (name, lease.fence)
    await lease.release()
    await lease.release()


async def test_a_release_is_idempotent_and_no_loss(coordinator: Coordinator, name: str) -> None:
    lease = await coordinator.acquire(name)
    told: list[str] = []
    lease.call_when_lost(lambda: told.append("lost"))
    await lease.release()
    await lease.release()
    assert not lease.lost.is_set()
    assert not lease.valid
    assert told == []
    with pytest.raises(LeaseLost, match="it was released"):
        lease.check()


async def test_a_lease_released_inside_its_block_ends_it_quietly(coordinator: Coordinator, name: str) -> None:
    async with coordinator.lock(name) as lease:
        await lease.release()
        await free(coordinator, name)


async def test_releasing_without_nodes_ends_soon_and_raises_nothing() -> None:
    async with LocalCluster() as cluster, cluster.coordinator() as coordinator:
        lease = await coordinator.acquire("left alone")
        await cluster.kill(*cluster.node_ids)
        async with asyncio.timeout(1):
            await lease.release()
        assert not lease.lost.is_set()
