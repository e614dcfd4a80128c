"""PostgreSQL's advisory locks on one server, by asyncpg: a session of its own for each lock held or waited for.

In a crowd several times as fast as psycopg in threads, which spend their time on the interpreter's lock; alone, the
same. A session that waits for a lock is busy, so the pool has as many as there are holders and waiters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from ..loops import AsyncSubject
from ..subject import Missing
from .servers import HOST, Servers, free_ports, program

_CONNECTIONS: Final = 2_400
"""A thousand in line, and as many that have just been given up and are not yet gone."""

_CONNECTING: Final = 20
"""Sessions opened at a time: the server starts a process for each."""

_DEADLINE: Final = 30.0
_SETTLED: Final = 0.05
_LOCK: Final = "SELECT pg_advisory_lock($1)"
_UNLOCK: Final = "SELECT pg_advisory_unlock($1)"
_IN_LINE: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Postgres(AsyncSubject):
    """One server."""

    key = "postgres"
    name = "PostgreSQL advisory locks, 1 server, asyncpg"

    def __init__(self) -> None:
        self._servers = Servers("postgres")
        self._port = 0
        self._idle: list[Any] = []
        self._all: set[Any] = set()
        self._waiting = 0
        self._connecting = asyncio.Semaphore(_CONNECTING)

    async def start(self) -> None:
        try:
            import asyncpg  # noqa: F401
        except ImportError as error:
            raise Missing(str(error)) from None
        server, install = _programs()
        directory = self._servers.directory("server")
        data, self._port = directory / "data", free_ports(1)[0]
        await self._servers.set_up(install, "-D", str(data), "-U", "bench", "-A", "trust", "-N")
        options = {
            "listen_addresses": HOST,
            "port": str(self._port),
            "unix_socket_directories": str(directory),
            "max_connections": str(_CONNECTIONS),
            "shared_buffers": "64MB",
            "fsync": "off",
        }
        self._servers.launch(
            directory, server, "-D", str(data), *(f"-c{key}={value}" for key, value in options.items())
        )
        await self._servers.ready(lambda: asyncio.run(self._probe()))

    async def stop(self) -> None:
        sessions, self._all, self._idle = self._all, set(), []
        for session in sessions:
            session.terminate()
        await self._servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._servers.pids

    async def settle(self, newcomers: int) -> None:  # noqa: ARG002  # counts by itself who waits
        session = await self._take()
        async with asyncio.timeout(_DEADLINE):
            await asyncio.sleep(_SETTLED)
            while await session.fetchval(_IN_LINE) < self._waiting:  # noqa: ASYNC110  # the server does not tell
                await asyncio.sleep(0.01)
        self._idle.append(session)
        await asyncio.sleep(_SETTLED)

    async def acquire(self, name: str) -> tuple[Any, int]:
        number = crc32(name.encode())
        self._waiting += 1
        try:
            session = await self._take()
            try:
                await session.fetchval(_LOCK, number)
            except BaseException:  # raised again: a session that may hold the lock is not used again
                self._drop(session)
                raise
        finally:
            self._waiting -= 1
        return session, number

    async def release(self, handle: tuple[Any, int]) -> None:
        session, number = handle
        if not await session.fetchval(_UNLOCK, number):
            self._drop(session)
            raise RuntimeError(f"advisory lock {number} was not held")
        self._idle.append(session)

    async def _take(self) -> Any:
        if self._idle:
            return self._idle.pop()
        async with self._connecting:
            session = await self._connect()
        self._all.add(session)
        return session

    def _drop(self, session: Any) -> None:
        self._all.discard(session)
        session.terminate()

    async def _connect(self) -> Any:
        import asyncpg

        return await asyncpg.connect(
            host=HOST, port=self._port, user="bench", database="postgres", ssl=False, timeout=_DEADLINE
        )

    async def _probe(self) -> None:
        await (await self._connect()).close()


def _programs() -> tuple[str, str]:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return program("postgres", *places), program("initdb", *places)
