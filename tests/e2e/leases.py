"""What the tests of the running stack ask about one lock: whether it is free, who has it, which fence comes next."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from tests.e2e.stack import run

from lockmanager import Coordinator, NotAcquired, QuorumUnavailable

LONG: Final = 600.0
"""Seconds; a ttl that no test lives to see the end of."""

DEAD: Final = "dead"
"""The label of holders that died."""

LEAVING: Final = Path(__file__).parent / "leaving.py"


def lease_of_the_dead(name: str, ttl: float = LONG) -> int:
    """Let a process acquire a quorum lock and die with it; return its fence. Only the nodes know the lease then."""
    return int(run(sys.executable, str(LEAVING), name, str(ttl), DEAD))


async def next_fence(coordinator: Coordinator, name: str) -> int:
    """Lock, unlock, and return the fence."""
    async with coordinator.lock(name, ttl=3, wait=5) as lease:
        return lease.fence


async def held_by(coordinator: Coordinator, name: str) -> tuple[str, ...]:
    """Ask for the lock; return the labels of the holders named, none when it was granted after all.

    It waits a little, so that sessions which nodes just broke can come back.
    """
    try:
        lease = await coordinator.acquire(name, ttl=3, wait=3)
    except NotAcquired as error:
        return error.held_by
    await lease.release()
    return ()


class Rival:
    """Tries, again and again, to get a lock that somebody else holds; use it as `async with Rival(...) as rival`."""

    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self._coordinator = coordinator
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self.refused = 0
        self.without_quorum = 0
        self.granted = 0

    async def __aenter__(self) -> Rival:
        self._task = asyncio.create_task(self._try_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task], timeout=10)
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    async def _try_for_ever(self) -> None:
        while True:
            try:
                lease = await self._coordinator.acquire(self._name, ttl=3, wait=0)
            except NotAcquired:
                self.refused += 1
            except QuorumUnavailable:
                self.without_quorum += 1
            else:
                self.granted += 1
                await lease.release()
            await asyncio.sleep(0.05)
