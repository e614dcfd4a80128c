"""Lets nodes hold very many leases: a session of its own with each node, which asks for them in bulk.

A coordinator would acquire them one by one and renew them; what is measured here is the node that holds them. The
leases are ordinary quorum leases with an hour to live, asked for with the frames a coordinator sends.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from typing import Final, Self

from lockmanager.durations import microseconds
from lockmanager.topology import Cluster
from lockmanager.transport import Connection, WebSocketConnector
from lockmanager.wire import (
    PROTOCOL,
    Acquire,
    Granted,
    Hello,
    Mode,
    Space,
    Token,
    UpFrame,
    Welcome,
    decode_down,
    encode,
    token_from,
)

_TTL: Final = microseconds(3600)
_BULK: Final = 2_000
_DEADLINE: Final = 30.0


class Filler:
    """Sessions with all nodes of a cluster; `fill` is done when every node has granted every lease."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ends = AsyncExitStack()
        self._connections: list[Connection] = []
        self.held = 0

    async def __aenter__(self) -> Self:
        connector = WebSocketConnector()
        self._ends.push_async_callback(connector.close)
        hello = Hello(PROTOCOL, self._cluster.fingerprint, token_from(secrets.token_bytes(64)), "filler")
        for node in self._cluster.node_ids:
            connection = await connector(node, self._cluster.url(node, "internal"))
            self._ends.push_async_callback(connection.close)
            connection.send(encode(UpFrame(1, [hello])))
            welcome = decode_down(await connection.receive()).messages
            assert isinstance(welcome[0], Welcome), welcome
            self._connections.append(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    async def fill(self, leases: int) -> None:
        """Let every node hold `leases` in all, counting those it holds already."""
        while self.held < leases:
            size = min(_BULK, leases - self.held)
            data = encode(UpFrame(1, [_acquire(number) for number in range(self.held, self.held + size)]))
            async with asyncio.timeout(_DEADLINE):
                await asyncio.gather(*(_ask(connection, data, size) for connection in self._connections))
            self.held += size


def _acquire(number: int) -> Acquire:
    """Return a request like any user's: a name of 14 bytes, and a label as long as a host and a process id."""
    name, label = f"orders/{number:07d}", "worker-17/12345"
    ticket = time.time_ns() // 1000
    return Acquire(Token(f"{number:032d}"), Space.QUORUM, name, ticket, _TTL, Mode.EXCLUSIVE, False, label)


async def _ask(connection: Connection, data: bytes, size: int) -> None:
    connection.send(data)
    while size:
        answers = decode_down(await connection.receive()).messages
        refused = [answer for answer in answers if not isinstance(answer, Granted)]
        if refused:
            raise RuntimeError(f"a node did not grant: {refused[0]}")
        size -= len(answers)
