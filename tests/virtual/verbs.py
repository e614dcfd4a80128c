"""What a user can await, each in its situation: the coroutine to be cancelled, what leads to it, what its caller does.

Every verb is a context that prepares the situation in calm weather, gives the coroutine, and afterwards does what a
caller would: it releases what it has in hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from lockmanager import (
    AcquireTimeout,
    ConfigurationError,
    Coordinator,
    LeaseLost,
    LockManagerError,
    NotAcquired,
    QuorumUnavailable,
)
from tests.virtual.cluster import NODES, VirtualCluster
from tests.virtual.findings import Findings

NAME: Final = "orders/42"
TTL: Final = 3.0

Action = Coroutine[Any, Any, object]
Prepared = AsyncIterator[Action]


@dataclass
class Scene:
    """A cluster with two clients: `first`, whose call is cancelled, and a `rival`."""

    cluster: VirtualCluster
    first: Coordinator
    rival: Coordinator
    findings: Findings

    @asynccontextmanager
    async def rival_holds_for(self, seconds: float) -> AsyncIterator[None]:
        """Let the rival have the lock for a while from now; the block ends no sooner."""
        lease = await self.rival.acquire(NAME, ttl=TTL)
        ends = self.cluster.loop.time() + seconds
        self.cluster.loop.call_at(ends, lease.release_soon)
        yield
        await asyncio.sleep(ends - self.cluster.loop.time())

    def block(self, *nodes: str) -> None:
        """Let nothing pass between the first client and some nodes."""
        self.cluster.network.block("first", *nodes)


@dataclass(frozen=True)
class Verb:
    """`ends` is how it ends in calm weather when nobody cancels it; `closes` says that it closes the first client."""

    name: str
    prepare: Callable[[Scene], AbstractAsyncContextManager[Action]]
    ends: type[LockManagerError] | None = None
    closes: bool = False


_verbs: list[Verb] = []


def _verb(
    name: str, *, ends: type[LockManagerError] | None = None, closes: bool = False
) -> Callable[[Callable[[Scene], Prepared]], Callable[[Scene], Prepared]]:
    def add(prepare: Callable[[Scene], Prepared]) -> Callable[[Scene], Prepared]:
        _verbs.append(Verb(name, asynccontextmanager(prepare), ends, closes))
        return prepare

    return add


# Acquire


@_verb("acquire")
async def _acquire(scene: Scene) -> Prepared:
    yield scene.first.acquire(NAME, ttl=TTL)


@_verb("acquire held by another")
async def _acquire_contended(scene: Scene) -> Prepared:
    async with scene.rival_holds_for(0.02):
        yield scene.first.acquire(NAME, ttl=TTL)


@_verb("acquire held for longer than the wait", ends=AcquireTimeout)
async def _acquire_too_late(scene: Scene) -> Prepared:
    async with scene.rival_holds_for(0.03):
        yield scene.first.acquire(NAME, ttl=TTL, wait=0.02)


@_verb("try to acquire held by another", ends=NotAcquired)
async def _try(scene: Scene) -> Prepared:
    async with scene.rival_holds_for(0.02):
        yield scene.first.acquire(NAME, ttl=TTL, wait=0)


@_verb("acquire shared")
async def _acquire_shared(scene: Scene) -> Prepared:
    yield scene.first.acquire(NAME, ttl=TTL, shared=True)


@_verb("acquire for a minute")
async def _acquire_long(scene: Scene) -> Prepared:
    yield scene.first.acquire(NAME, ttl=60)


@_verb("acquire from two nodes, one down")
async def _acquire_one_down(scene: Scene) -> Prepared:
    await scene.cluster.crash("node2")
    yield scene.first.acquire(NAME, ttl=TTL)
    await scene.cluster.start("node2")


@_verb("acquire from two nodes, one silent")
async def _acquire_one_silent(scene: Scene) -> Prepared:
    scene.block("node3")
    yield scene.first.acquire(NAME, ttl=TTL)


@_verb("acquire from a silent majority", ends=QuorumUnavailable)
async def _acquire_silent(scene: Scene) -> Prepared:
    scene.block("node1", "node2")
    yield scene.first.acquire(NAME, ttl=TTL, wait=0.5)


@_verb("acquire with two nodes down", ends=QuorumUnavailable)
async def _acquire_two_down(scene: Scene) -> Prepared:
    for node in NODES[:2]:
        await scene.cluster.crash(node)
    yield scene.first.acquire(NAME, ttl=TTL, wait=0.5)
    for node in NODES[:2]:
        await scene.cluster.start(node)


@_verb("try with no node in reach", ends=QuorumUnavailable)
async def _try_unreachable(scene: Scene) -> Prepared:
    scene.block(*NODES)
    yield scene.first.acquire(NAME, ttl=TTL, wait=0)


@_verb("acquire for efficiency")
async def _acquire_efficiency(scene: Scene) -> Prepared:
    yield _efficiency(scene.first)


@_verb("acquire for efficiency, first host silent")
async def _acquire_efficiency_next(scene: Scene) -> Prepared:
    scene.block(scene.first.engine.cluster.preference(NAME)[0])
    yield _efficiency(scene.first)


async def _efficiency(coordinator: Coordinator) -> None:
    async with coordinator.efficiency_lock(NAME, ttl=TTL):
        await asyncio.sleep(0.01)


# Hold


@_verb("hold")
async def _hold(scene: Scene) -> Prepared:
    yield _held(scene.first, 1.2)


@_verb("hold after another")
async def _hold_contended(scene: Scene) -> Prepared:
    async with scene.rival_holds_for(0.02):
        yield _held(scene.first, 0.01)


@_verb("hold what gets lost", ends=LeaseLost)
async def _hold_lost(scene: Scene) -> Prepared:
    cutting = scene.cluster.loop.call_later(0.05, scene.block, *NODES)
    yield _held(scene.first, 2 * TTL)
    cutting.cancel()


async def _held(coordinator: Coordinator, seconds: float) -> None:
    async with coordinator.lock(NAME, ttl=TTL, wait=20) as lease:
        await asyncio.sleep(0.01)
        await lease.renew()
        await asyncio.sleep(seconds)


# Renew and release


@_verb("renew")
async def _renew(scene: Scene) -> Prepared:
    lease = await scene.first.acquire(NAME, ttl=TTL)
    yield lease.renew(2 * TTL)
    waiting = list(lease._run._renewal_watchers)
    scene.findings.check("nobody waits for the renewal", not waiting, waiting)
    await lease.release()


@_verb("renew at silent nodes")
async def _renew_silent(scene: Scene) -> Prepared:
    lease = await scene.first.acquire(NAME, ttl=TTL)
    scene.block(*NODES[1:])
    yield lease.renew()
    await lease.release()


@_verb("release")
async def _release(scene: Scene) -> Prepared:
    lease = await scene.first.acquire(NAME, ttl=TTL)
    yield lease.release()


@_verb("release at silent nodes")
async def _release_silent(scene: Scene) -> Prepared:
    lease = await scene.first.acquire(NAME, ttl=TTL)
    scene.block(*NODES[1:])
    yield lease.release()


# Close and open


@_verb("close", closes=True)
async def _close(scene: Scene) -> Prepared:
    yield scene.first.close()


@_verb("close with a lease and a waiter", closes=True)
async def _close_busy(scene: Scene) -> Prepared:
    async with _kept(scene), _waiting(scene):
        yield scene.first.close()


@_verb("close away from the nodes", closes=True)
async def _close_away(scene: Scene) -> Prepared:
    async with _kept(scene):
        scene.block(*NODES[1:])
        yield scene.first.close()


@_verb("close cut off, standing in line", closes=True)
async def _close_cut_off(scene: Scene) -> Prepared:
    async with scene.rival_holds_for(3.0), _waiting(scene):
        scene.block(*NODES)
        yield scene.first.close()
        scene.cluster.network.break_off("first")


@asynccontextmanager
async def _kept(scene: Scene) -> AsyncIterator[None]:
    """Hold a lease that is not released; its holder learns that it is over."""
    lease = await scene.first.acquire(NAME, ttl=TTL)
    yield
    scene.findings.check("a holder learns of the close", lease.lost.is_set() and not lease.valid, lease)


@asynccontextmanager
async def _waiting(scene: Scene) -> AsyncIterator[None]:
    """Stand in line; the end of the coordinator is an error for who waits."""
    task = asyncio.create_task(scene.first.acquire(NAME, ttl=TTL))
    await asyncio.sleep(0.01)
    yield
    done, _ = await asyncio.wait([task], timeout=5)
    told = bool(done) and not task.cancelled() and isinstance(task.exception(), LockManagerError)
    scene.findings.check("who waits learns of the close", told, task)
    task.cancel()


@_verb("open and close")
async def _open(scene: Scene) -> Prepared:
    yield _opened(scene.cluster.coordinator("third"))


@_verb("open by one node's URL")
async def _discover(scene: Scene) -> Prepared:
    yield _opened(scene.cluster.discovering("node1"))


@_verb("open by the URL of a silent node", ends=ConfigurationError)
async def _discover_silent(scene: Scene) -> Prepared:
    scene.cluster.network.block("", "node1")
    yield _opened(scene.cluster.discovering("node1"))


async def _opened(coordinator: Coordinator) -> None:
    async with coordinator, coordinator.lock(NAME, ttl=TTL):
        await asyncio.sleep(0.01)


VERBS: Final = {verb.name: verb for verb in _verbs}
