"""A coordinator's life: where it may be used, what closing it does, and what a lease that is dropped does."""

# ruff: noqa: PT031 - the block under test is one statement

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from lockmanager import Coordinator, Lease, LeaseLost, LockManagerError, RequestRejected
from lockmanager.testing import LocalCluster
from tests.support.waiting import DEADLINE, free, held_on, in_line, session_is_gone, sessions_are_live

Use = Callable[[Coordinator], Awaitable[object]]


@pytest.fixture
async def coordinator(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="watcher") as coordinator:
        await sessions_are_live(coordinator)
        yield coordinator


@pytest.fixture
def name() -> str:
    return f"orders/{uuid4()}"


async def use_lock(coordinator: Coordinator) -> None:
    async with coordinator.lock("x"):
        pytest.fail("entered")


async def use_efficiency_lock(coordinator: Coordinator) -> None:
    async with coordinator.efficiency_lock("x"):
        pytest.fail("entered")


async def use_acquire(coordinator: Coordinator) -> Lease:
    return await coordinator.acquire("x")


async def use_inspect(coordinator: Coordinator) -> object:
    return await coordinator.inspect("x")


every_use = pytest.mark.parametrize("use", [use_lock, use_efficiency_lock, use_acquire, use_inspect])


# Where it may be used


@every_use
async def test_a_coordinator_that_was_never_opened_says_so(cluster: LocalCluster, use: Use) -> None:
    with pytest.raises(RuntimeError, match="not open: use it inside `async with"):
        await use(cluster.coordinator())


@every_use
async def test_a_closed_coordinator_says_so(cluster: LocalCluster, use: Use) -> None:
    async with cluster.coordinator() as closed:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await use(closed)


@every_use
async def test_another_event_loop_is_named(coordinator: Coordinator, use: Use) -> None:
    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop: open one in each loop"):
            asyncio.run(asyncio.wait_for(use(coordinator), DEADLINE))

    await asyncio.to_thread(elsewhere)


async def test_a_lease_is_of_no_use_in_another_event_loop(coordinator: Coordinator, name: str) -> None:
    async with coordinator.lock(name) as lease:

        def elsewhere() -> None:
            for use in (lease.renew, lease.release):
                with pytest.raises(RuntimeError, match="another event loop"):
                    asyncio.run(use())

        await asyncio.to_thread(elsewhere)
        assert lease.valid


def in_a_fork(check: Callable[[], None]) -> str:
    """Run a check in a forked child, and return what went wrong there."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "the child did not end as it should"
        try:
            # The child has a thread of its own: in the forking one, the parent's event loop counts as running.
            said = in_a_thread(check)
        finally:
            os.write(writer, said.encode()[:4000])
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        return pipe.read()


def in_a_thread(check: Callable[[], None]) -> str:
    said = []

    def work() -> None:
        try:
            check()
        except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
            said.append(repr(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(DEADLINE)
    return "".join(said)


@every_use
async def test_a_forked_child_is_told_to_open_its_own(coordinator: Coordinator, use: Use) -> None:
    def child() -> None:
        with pytest.raises(RuntimeError, match="before a fork: open one in each process"):
            asyncio.run(asyncio.wait_for(use(coordinator), DEADLINE))

    assert in_a_fork(child) == ""


async def test_a_forked_child_that_ends_takes_no_lease_from_its_parent(coordinator: Coordinator, name: str) -> None:
    def child() -> None:
        with pytest.raises(RuntimeError, match="before a fork"):
            asyncio.run(lease.release())
        asyncio.run(context.__aexit__(None, None, None))
        asyncio.run(coordinator.close())

    context = coordinator.lock(name, ttl=30)  # nothing is renewed while the child runs
    async with context as lease:
        assert in_a_fork(child) == ""
        await lease.renew()
        await held_on(coordinator, name, 3)
        assert lease.valid


async def test_a_coordinator_is_opened_once_at_a_time(cluster: LocalCluster) -> None:
    coordinator = cluster.coordinator()
    async with coordinator:
        with pytest.raises(RuntimeError, match="open already"):
            await coordinator.__aenter__()
        lease = await coordinator.acquire("still works")
        await lease.release()


async def test_a_coordinator_can_be_opened_again(cluster: LocalCluster, name: str) -> None:
    coordinator = cluster.coordinator()
    for _ in range(2):
        async with coordinator, coordinator.lock(name, wait=5) as lease:
            assert lease.valid


async def test_a_lock_context_is_used_once(coordinator: Coordinator, name: str) -> None:
    context = coordinator.lock(name)
    async with context:
        with pytest.raises(RuntimeError, match="used already"):
            await context.__aenter__()
    with pytest.raises(RuntimeError, match="used already"):
        await context.__aenter__()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in ("", "x" * 256, "ü" * 128, "\ud800", None, 7, b"x")),
        *(("ttl", value) for value in (0, -1, 0.099, 2_592_001, float("nan"), float("inf"), "10", None, True, 10**400)),
        *(("wait", value) for value in (-0.1, float("nan"), float("inf"), "5", False)),
        *(("label", value) for value in ("x" * 129, "\ud800", 7)),
    ],
)
async def test_bad_input_is_refused_by_the_name_of_its_field(
    coordinator: Coordinator, name: str, field: str, value: object
) -> None:
    asked: dict[str, Any] = {"name": name} | {field: value}
    ways: list[Callable[[], Awaitable[Lease]]] = [
        lambda: coordinator.acquire(**asked),
        lambda: coordinator.lock(**asked).__aenter__(),
        lambda: coordinator.efficiency_lock(**asked).__aenter__(),
    ]
    for enter in ways:
        with pytest.raises(RequestRejected, match=field) as caught:
            await enter()
        assert caught.value.code == field


async def test_a_label_over_the_limit_is_refused_when_the_coordinator_opens(cluster: LocalCluster) -> None:
    with pytest.raises(RequestRejected, match="label"):
        await cluster.coordinator(label="x" * 129).__aenter__()


# Closing


async def test_closing_releases_everything_at_once(cluster: LocalCluster, coordinator: Coordinator, name: str) -> None:
    async with cluster.coordinator() as closing:
        leases = [await closing.acquire(f"{name}/{n}", ttl=20, shared=n % 2 == 0) for n in range(10)]
    for lease in leases:
        await free(coordinator, lease.name)
        assert not lease.valid
        assert lease.lost.is_set()
        with pytest.raises(LeaseLost, match="the coordinator was closed"):
            lease.check()


async def test_closing_cancels_the_body_of_a_lock(cluster: LocalCluster, name: str) -> None:
    async def hold() -> None:
        async with closing.lock(name):
            entered.set()
            await asyncio.wait_for(asyncio.Event().wait(), DEADLINE)

    entered = asyncio.Event()
    async with cluster.coordinator() as closing:
        holding = asyncio.create_task(hold())
        await entered.wait()
    with pytest.raises(LeaseLost, match="the coordinator was closed"):
        await holding


@pytest.mark.parametrize("wait", [None, 5])
async def test_closing_ends_a_waiting_acquisition(
    cluster: LocalCluster, coordinator: Coordinator, name: str, wait: float | None
) -> None:
    async with coordinator.lock(name):
        async with cluster.coordinator() as closing:
            waiting = asyncio.create_task(closing.acquire(name, wait=wait))
            await in_line(coordinator, name)
        with pytest.raises(LockManagerError, match=f"{name}.*the coordinator was closed while it waited"):
            await asyncio.wait_for(waiting, 1)
        await in_line(coordinator, name, 0)


async def test_closing_ends_an_acquisition_that_waits_for_nodes(cluster: LocalCluster, name: str) -> None:
    await cluster.kill(*cluster.node_ids)
    async with cluster.coordinator() as closing:
        waiting = [asyncio.create_task(closing.acquire(name)), asyncio.create_task(use_efficiency_lock(closing))]
        for node in cluster.node_ids:
            await session_is_gone(closing, node)
    for task in waiting:
        with pytest.raises((LockManagerError, RuntimeError), match=r"was closed|is not open"):
            await asyncio.wait_for(task, 1)


async def test_closing_takes_no_longer_than_a_second_while_nodes_hang(cluster: LocalCluster, name: str) -> None:
    async with cluster.coordinator() as closing:
        lease = await closing.acquire(name)
        await sessions_are_live(closing)
        await cluster.pause(*cluster.node_ids)
        async with asyncio.timeout(2):
            await closing.close()
    assert not lease.valid


async def test_closing_twice_is_as_good_as_once(cluster: LocalCluster, name: str) -> None:
    coordinator = cluster.coordinator()
    await coordinator.close()
    async with coordinator, coordinator.lock(name):
        pass
    await coordinator.close()


async def test_nothing_of_a_closed_coordinator_stays_in_the_event_loop(cluster: LocalCluster, name: str) -> None:
    before = asyncio.all_tasks()
    async with cluster.coordinator() as one, one.lock(name, ttl=0.5), one.efficiency_lock(name, ttl=0.5):
        assert len(asyncio.all_tasks()) > len(before)
    assert asyncio.all_tasks() == before


# Dropping


async def test_a_lease_that_is_dropped_warns_and_is_given_back(coordinator: Coordinator, name: str) -> None:
    lease = await coordinator.acquire(name, ttl=20)
    await held_on(coordinator, name, 3)
    with pytest.warns(ResourceWarning, match="was dropped without release"):
        del lease
        gc.collect()
    await free(coordinator, name)


async def test_a_dropped_lease_is_given_back_also_where_warnings_are_errors(
    coordinator: Coordinator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraised: unraisable.append(unraised.exc_type))
    lease = await coordinator.acquire(name, ttl=20)
    del lease
    gc.collect()
    assert unraisable == [ResourceWarning]
    await free(coordinator, name)


async def test_a_lease_that_is_over_is_dropped_in_silence(cluster: LocalCluster, name: str) -> None:
    async with cluster.coordinator() as coordinator:
        released = await coordinator.acquire(name)
        await released.release()
        lost = await coordinator.acquire(name)
    del released, lost
    gc.collect()
