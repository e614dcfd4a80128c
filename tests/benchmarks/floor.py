"""The floor under every figure: a bare TCP echo to three servers, on the same machine in the same round.

One client of the event loop, one connection to each of three server processes. A round trip sends 64 bytes to all
and waits for all three answers; a cycle is two of them, as acquire and release are. No lock system that asks three
servers through this event loop can be faster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, cast

from . import echo_server
from .processes import Child

SERVERS: Final = 3
MESSAGE: Final = bytes(64)
_DEADLINE: Final = 10.0


class _Round:
    """One round trip to all servers at a time."""

    def __init__(self) -> None:
        self._missing = 0
        self._done: asyncio.Future[None] | None = None

    def begin(self, size: int) -> asyncio.Future[None]:
        self._missing = size
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def arrived(self, size: int) -> None:
        self._missing -= size
        if not self._missing and self._done is not None:
            self._done.set_result(None)


class _Client(asyncio.Protocol):
    def __init__(self, turn: _Round) -> None:
        self._turn = turn

    def data_received(self, data: bytes) -> None:
        self._turn.arrived(len(data))


class EchoFloor:
    """The echo servers and their client."""

    name = "TCP echo, 3 servers"
    key = "floor"

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._transports: list[asyncio.WriteTransport] = []
        self._ends = ExitStack()
        self._turn = _Round()

    async def start(self) -> None:
        """Start the servers and connect to each."""
        loop = asyncio.get_running_loop()
        for _ in range(SERVERS):
            child = self._ends.enter_context(Child(echo_server.__name__))
            self._children.append(child)
            port = int(await asyncio.to_thread(child.line, _DEADLINE))
            async with asyncio.timeout(_DEADLINE):
                transport, _ = await loop.create_connection(lambda: _Client(self._turn), "127.0.0.1", port)
            self._transports.append(cast(asyncio.WriteTransport, transport))
            self._ends.callback(transport.close)

    async def stop(self) -> None:
        """End the servers. Idempotent."""
        self._transports.clear()
        self._children.clear()
        await asyncio.to_thread(self._ends.close)

    @property
    def pids(self) -> Sequence[int]:
        """The server processes."""
        return [child.pid for child in self._children]

    async def alone(self, seconds: float) -> list[float]:
        """Return how long each cycle of two round trips took."""
        durations = []
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            await self._round_trip()
            await self._round_trip()
            durations.append(time.perf_counter() - begin)
        return durations

    async def _round_trip(self) -> None:
        done = self._turn.begin(SERVERS * len(MESSAGE))
        for transport in self._transports:
            transport.write(MESSAGE)
        await done
