"""What happens to client processes: stopped beyond the end of their leases, right before a write too, and killed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Final

from tests.chaos.clients import Client
from tests.chaos.resource import KINDS
from tests.chaos.scene import Kind, Scene
from tests.chaos.workload import TTL

_LONGEST: Final = 3 * TTL[1]
_HOLDER_WITHIN: Final = 5.0
"""Seconds to wait for somebody who is about to write, before another process is asked."""

_TRIES: Final = 10
_OVERTAKEN_WITHIN: Final = 60.0
"""Seconds a stopped holder waits for another one to write in its stead: for faults that stop everybody to pass."""


class ClientFaults:
    """Faults of the client processes of a run."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def kinds(self) -> list[Kind]:
        return [
            Kind("sigstop_client", "clients", self._stop),
            Kind("sigkill_client", "clients", self._kill),
            Kind("sigstop_before_write", "control", self._stop_before_write, seconds=_HOLDER_WITHIN + _LONGEST),
        ]

    async def _stop(self, chance: Random) -> None:
        """Stop a process at any moment, for up to three times its ttl."""
        client = self._scene.some_client(chance)
        with self._scene.striking("sigstop_client", client.party):
            client.pause()
            await asyncio.sleep(chance.choice((0.2, 1.0, 2.5, _LONGEST)))
            client.resume()

    async def _kill(self, chance: Random) -> None:
        client = self._scene.some_client(chance)
        with self._scene.striking("sigkill_client", client.party):
            await client.kill()
            await asyncio.sleep(chance.uniform(0, 0.5))
            await client.start()

    async def _stop_before_write(self, chance: Random) -> None:
        """Stop a holder between its read and its write until another one has written: the case fences are for."""
        for _ in range(_TRIES):
            client = self._scene.some_client(chance)
            with self._scene.taking(client.party):
                lock = await client.holder_about_to_write(_HOLDER_WITHIN)
                if lock is not None:
                    await self._stop_holder(client, lock, chance.uniform(TTL[1], _LONGEST))
                    return

    async def _stop_holder(self, client: Client, lock: str, seconds: float) -> None:
        self._scene.count("sigstop_before_write")
        before = await self._value(lock)
        client.pause()
        await asyncio.sleep(seconds)
        await self._overtaken(lock, before)
        client.resume()
        await client.let_it_write()

    async def _overtaken(self, lock: str, before: int) -> None:
        """Wait until somebody else has written what the lock guards; what the holder will write then is stale."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_OVERTAKEN_WITHIN):
                while await self._value(lock) == before:  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0.1)
                self._scene.counts["stale_writes_tried"] += 1

    async def _value(self, lock: str) -> int:
        return (await self._scene.resource.report())[KINDS[0]].values[lock]
