"""Who gives up in the ways that asyncio offers has either the lock or nothing, at whatever instant that happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lockmanager import Coordinator, Lease
from tests.support.waiting import sessions_are_live
from tests.virtual.aftermath import at_the_end, look_around
from tests.virtual.cluster import virtual_cluster
from tests.virtual.findings import Findings
from tests.virtual.loop import VirtualLoop
from tests.virtual.verbs import NAME, TTL, VERBS, Scene

RIVAL_HOLDS = 0.01
INSTANTS = [n / 2_000 for n in range(31)]
"""Seconds from the call: from at once to well after the lock was acquired, twice in a millisecond."""

GivesUp = Callable[[Coordinator, float], Awaitable[Lease | None]]


class SiblingFailed(Exception):
    """Somebody else in the task group failed."""


async def _timeout(coordinator: Coordinator, seconds: float) -> Lease | None:
    try:
        async with asyncio.timeout(seconds):
            return await coordinator.acquire(NAME, ttl=TTL)
    except TimeoutError:
        return None


async def _wait_for(coordinator: Coordinator, seconds: float) -> Lease | None:
    try:
        return await asyncio.wait_for(coordinator.acquire(NAME, ttl=TTL), seconds)
    except TimeoutError:
        return None


async def _sibling(coordinator: Coordinator, seconds: float) -> Lease | None:
    """Acquire in a task group where another task fails; what was acquired before that stays acquired."""
    tasks: list[asyncio.Task[Lease]] = []
    with contextlib.suppress(SiblingFailed):
        await _in_a_group(coordinator, seconds, tasks)
    return None if tasks[0].cancelled() else tasks[0].result()


async def _in_a_group(coordinator: Coordinator, seconds: float, tasks: list[asyncio.Task[Lease]]) -> None:
    """Raise what failed in the group, which must be the sibling and nobody else."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(coordinator.acquire(NAME, ttl=TTL)))
            group.create_task(_fail_after(seconds))
    except BaseExceptionGroup as failed:
        (error,) = failed.exceptions
        raise error from None


async def _fail_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise SiblingFailed


@asynccontextmanager
async def _contended(loop: VirtualLoop, findings: Findings) -> AsyncIterator[Scene]:
    """Give a scene in which the rival holds the lock for a moment; afterwards nothing may be left of anybody."""
    async with (
        virtual_cluster(1) as cluster,
        cluster.coordinator("rival") as rival,
        cluster.coordinator("first") as first,
    ):
        for coordinator in (rival, first):
            await sessions_are_live(coordinator)
        scene, tasks = Scene(cluster, first, rival, findings), loop.tasks()
        async with scene.rival_holds_for(RIVAL_HOLDS):
            yield scene
        await look_around(scene, VERBS["acquire held by another"], findings, tasks, rough=False)
    await at_the_end(cluster, findings)


def _give_up_at(instant: float, give_up: GivesUp) -> tuple[bool, list[str]]:
    """Give up so many seconds after the call; returns whether the lock was acquired all the same, and complaints."""
    findings, acquired = Findings(), []

    async def main(loop: VirtualLoop) -> None:
        async with _contended(loop, findings) as scene:
            lease = await give_up(scene.first, instant)
            if lease is not None:
                acquired.append(lease.valid)
                await lease.release()

    findings.of_a_run(main)
    return any(acquired), findings.complaints


@pytest.mark.parametrize("give_up", [_timeout, _wait_for, _sibling])
def test_who_gives_up_has_the_lock_or_nothing(give_up: GivesUp) -> None:
    results = {instant: _give_up_at(instant, give_up) for instant in INSTANTS}
    assert {instant: complaints for instant, (_, complaints) in results.items() if complaints} == {}
    acquired = [got for got, _ in results.values()]
    assert not acquired[0]
    assert acquired[-1]
    assert acquired == sorted(acquired)
