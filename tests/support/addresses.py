"""Names of hosts that move from one server on loopback to another."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from aiohttp import DefaultResolver


@dataclass
class Listener:
    """A server that keeps its connections and says who it is; `closed` is released for each that others closed."""

    says: str
    status: int = 200
    port: int = 0
    closed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = self.says.encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (self.status, len(body), body))
        except asyncio.IncompleteReadError:
            self.closed.release()
        finally:
            writer.close()


class Addresses:
    """What aiohttp is told when it asks where a name is; open it as a context."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._places: dict[str, Listener] = {}
        self._stack = AsyncExitStack()

        async def resolve(_: object, host: str, *__: object, **___: object) -> list[dict[str, Any]]:
            return [self._address(host)]

        patch.setattr(DefaultResolver, "resolve", resolve)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def listener(self, says: str, *, status: int = 200) -> Listener:
        """Start a server that says this."""
        listener = Listener(says, status)
        server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
        await self._stack.enter_async_context(server)
        listener.port = server.sockets[0].getsockname()[1]
        return listener

    def move(self, name: str, place: Listener) -> None:
        """Let a name lead there from now on."""
        self._places[name] = place

    def _address(self, host: str) -> dict[str, Any]:
        where = {"host": "127.0.0.1", "port": self._places[host].port, "family": socket.AF_INET}
        return {"hostname": host, "proto": 0, "flags": 0, **where}
