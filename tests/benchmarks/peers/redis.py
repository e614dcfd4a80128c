"""Redlock on three Redis servers by redis-py with hiredis: the algorithm of the Redis documentation.

`SET NX PX` on all servers, held with a majority within the ttl less drift; released everywhere by a script that deletes
only the own value; after a failure it is released and tried again after a random pause. That pause grows up to a bound:
a constant one is better for a single waiter, and worse, several times, for a hundred. On the event loop, all servers
asked at once, which is faster alone than threads that ask one server after the other, and about as fast in a crowd.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
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
"""Seconds: the shortest pause, and the longest after the first failure; that doubles with every further one."""

_LONGEST_RETRY: Final = 0.05
_CONNECTIONS: Final = 100
"""To each server: beyond it an attempt waits, as a crowd that connects at once runs into the timeout."""

_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def _pause(failures: int) -> float:
    shortest, longest = _RETRY
    return random.uniform(shortest, min(longest * 2.0 ** min(failures, 10), _LONGEST_RETRY))


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
        self._release = ""
        self._unknown_script: type[Exception] = Exception
        self._turns = asyncio.Semaphore(_CONNECTIONS)

    async def start(self) -> None:
        await self._redis.start()
        import redis.asyncio as aredis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import NoScriptError

        self._unknown_script = NoScriptError
        for port in self._redis.ports:
            client = aredis.Redis(
                host=HOST,
                port=port,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),
                max_connections=2 * _CONNECTIONS,
            )
            self._clients.append(client)
            self._release = await client.script_load(_RELEASE)

    async def stop(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            with suppress(Exception):  # a server that hangs lets the closing time out; it is stopped all the same
                await client.aclose()
        await self._redis.servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._redis.servers.pids

    async def acquire(self, name: str) -> tuple[str, str]:
        failures = 0
        while True:
            async with self._turns:
                if (value := await self._attempt(name)) is not None:
                    return name, value
            await asyncio.sleep(_pause(failures))
            failures += 1

    async def release(self, handle: tuple[str, str]) -> None:
        await self._release_at(self._clients, *handle)

    async def _attempt(self, name: str) -> str | None:
        """Ask all servers once; returns the value the name is held with, or None."""
        value, begin = secrets.token_hex(16), time.monotonic()
        asked = (client.set(name, value, nx=True, px=TTL_MS) for client in self._clients)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        left = TTL_MS / 1000 * 0.99 - 0.002 - (time.monotonic() - begin)
        if sum(answer is True for answer in answers) >= MAJORITY and left > 0:
            return value
        # who has answered "no" holds nothing of ours; who has not answered may
        may_hold = [client for client, answer in zip(self._clients, answers, strict=True) if answer is not None]
        await self._release_at(may_hold, name, value)
        return None

    async def _release_at(self, clients: Sequence[Any], name: str, value: str) -> None:
        asked = (client.evalsha(self._release, 1, name, value) for client in clients)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for client, answer in zip(clients, answers, strict=True):
            if isinstance(answer, self._unknown_script):  # that server has been restarted
                with suppress(Exception):  # it is a release: the lease ends by itself
                    await client.eval(_RELEASE, 1, name, value)
