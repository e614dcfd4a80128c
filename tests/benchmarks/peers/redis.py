"""Redlock on three Redis servers by redis-py with hiredis: the algorithm of the Redis documentation.

`SET NX PX` on all servers, held with a majority within the ttl less drift; released everywhere by a script that deletes
only the own value; after a failure all is released, and tried again after a random pause. On the event loop, all
servers asked at once, which is faster here than threads that ask one server after the other.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from ..loops import AsyncSubject
from ..subject import Missing
from .servers import HOST, Servers, free_ports, program

SERVERS: Final = 3
MAJORITY: Final = SERVERS // 2 + 1
TTL_MS: Final = 30_000
TIMEOUT: Final = 0.05
"""Seconds one server may take: a careful user's setting, far below the ttl."""

_RETRY: Final = (0.002, 0.02)
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def _pause() -> float:
    return random.uniform(*_RETRY)


class _RedisServers:
    """Three servers without persistence."""

    def __init__(self) -> None:
        self.servers = Servers()
        self.ports: list[int] = []

    async def start(self) -> None:
        try:
            import hiredis  # noqa: F401
            import redis
        except ImportError as error:
            raise Missing(str(error)) from None
        server = program("redis-server")
        self.ports = free_ports(SERVERS)
        for port in self.ports:
            directory = self.servers.directory(str(port))
            options = ("--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(directory))
            self.servers.launch(directory, server, *options)

        def probe() -> None:
            for port in self.ports:
                with redis.Redis(HOST, port) as client:
                    client.ping()

        await self.servers.ready(probe)


class Redlock(AsyncSubject):
    """On the event loop, all servers at once."""

    key = "redis"
    name = "Redlock, 3 Redis, redis-py asyncio"

    def __init__(self) -> None:
        self._redis = _RedisServers()
        self._clients: list[Any] = []
        self._releases: list[Any] = []

    async def start(self) -> None:
        await self._redis.start()
        import redis.asyncio as aredis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        for port in self._redis.ports:
            client = aredis.Redis(
                host=HOST,
                port=port,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),
            )
            self._clients.append(client)
            self._releases.append(client.register_script(_RELEASE))

    async def stop(self) -> None:
        clients, self._clients, self._releases = self._clients, [], []
        for client in clients:
            await client.aclose()
        await self._redis.servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._redis.servers.pids

    async def acquire(self, name: str) -> tuple[str, str]:
        while True:
            value, begin = secrets.token_hex(16), time.monotonic()
            asked = (client.set(name, value, nx=True, px=TTL_MS) for client in self._clients)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            left = TTL_MS / 1000 * 0.99 - 0.002 - (time.monotonic() - begin)
            if sum(answer is True for answer in answers) >= MAJORITY and left > 0:
                return name, value
            await self.release((name, value))
            await asyncio.sleep(_pause())

    async def release(self, handle: tuple[str, str]) -> None:
        name, value = handle
        asked = (release(keys=[name], args=[value]) for release in self._releases)
        await asyncio.gather(*asked, return_exceptions=True)
