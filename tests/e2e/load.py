"""Clients that lock without pause while nodes restart, and fail at the first thing a client must not see."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from tests.e2e.stack import CLUSTER_FILE

from lockmanager import Coordinator

COORDINATORS: Final = 3
LOCKS: Final = 3


class Load:
    """Three coordinators, each with one task for each of three locks; use it as `async with Load(name) as load`.

    A task whose acquire fails, whose lease is lost, or who meets somebody else inside ends the block with its error.
    """

    def __init__(self, name: str) -> None:
        self._names = [f"{name}-{number}" for number in range(LOCKS)]
        self._fences = dict.fromkeys(self._names, 0)
        self._inside: set[str] = set()
        self._ended = asyncio.Event()
        self._turns = 0
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Load:
        await self._open.__aenter__()
        coordinators = [Coordinator.from_config(CLUSTER_FILE, network="public") for _ in range(COORDINATORS)]
        for coordinator in coordinators:
            await self._open.enter_async_context(coordinator)
        tasks = await self._open.enter_async_context(asyncio.TaskGroup())
        self._open.callback(self._ended.set)
        for coordinator in coordinators:
            for name in self._names:
                tasks.create_task(self._work(coordinator, name))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._open.__aexit__(*failure)  # type: ignore[arg-type]

    async def turns_within(self, seconds: float) -> int:
        """Return how many times a lock was held in the next so many seconds."""
        before = self._turns
        await asyncio.sleep(seconds)
        return self._turns - before

    async def _work(self, coordinator: Coordinator, name: str) -> None:
        while not self._ended.is_set():
            async with coordinator.lock(name, ttl=5, wait=2) as lease:
                assert name not in self._inside, "two holders"
                self._inside.add(name)
                assert lease.fence > self._fences[name], "a fence that does not rise"
                self._fences[name] = lease.fence
                await asyncio.sleep(0.01)
                self._inside.remove(name)
            self._turns += 1
