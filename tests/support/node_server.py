"""One real node on a loopback port, in this process, with a clock that tests turn by hand, and a plain HTTP client."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.topology import ApiKey, Classic, Cluster, Limits, NodeAddress
from lockmanager.wire import Acquire, Mode, Space, Token
from lockmanager_node.service import Service
from lockmanager_node.table import Table
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context

NODE_ID: Final = "node1"
DEADLINE: Final = 10.0
"""Seconds after which a test that waits for something gives up."""


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = 1_000 * MICROSECONDS
        self._wall = 1_700_000_000 * MICROSECONDS

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._now += microseconds(seconds)
        self._wall += microseconds(seconds)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Node:
    """A serving node and the ways to talk to it."""

    def __init__(self, service: Service, clock: FakeClock, port: int, http: aiohttp.ClientSession) -> None:
        self.service = service
        self.clock = clock
        self.port = port
        self._http = http

    @property
    def table(self) -> Table:
        return self.service.table

    async def ask(self, method: str, target: str, **more: Any) -> Reply:
        """Send one request; the target goes out byte for byte."""
        url = URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)
        async with asyncio.timeout(DEADLINE), self._http.request(method, url, **more) as response:
            return Reply(response.status, response.headers, await response.text())

    async def get(self, target: str, **headers: str) -> Reply:
        return await self.ask("GET", target, headers=headers)

    async def post(self, target: str, body: object) -> Reply:
        """Send a body: bytes as they are, anything else as JSON; no Content-Type is announced."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", target, data=io.BytesIO(data), skip_auto_headers=["Content-Type"])

    async def acquire(self, name: str, **more: object) -> Any:
        """Acquire, which must succeed, and return the answer's members."""
        reply = await self.post("/v1/acquire", {"name": name, **more})
        assert reply.status == 200, reply.text
        return reply.json

    async def raw(self, request: bytes) -> bytes:
        """Send bytes no client would, and return everything the node answers until it closes."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(request)
                return await reader.read()
            finally:
                writer.close()
                await writer.wait_closed()

    async def raw_get(self, target: bytes) -> bytes:
        """GET a target byte for byte on a connection of its own."""
        return await self.raw(b"GET " + target + b" HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")

    async def raw_partial(self, request: bytes) -> None:
        """Send the beginning of a request, close the connection, and let the node notice."""
        async with asyncio.timeout(DEADLINE):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(request)
            writer.close()
            await writer.wait_closed()
            await self.get("/healthz")

    @asynccontextmanager
    async def long_poll(self, path: str, body: object) -> AsyncIterator[asyncio.Task[Reply]]:
        """Let one more client wait in line while the block runs; it goes away at the end."""
        before = self.table.waiter_count
        waiting = asyncio.create_task(self.post(path, body))
        try:
            await eventually(lambda: self.table.waiter_count > before)
            yield waiting
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def stands(self, token: str) -> bool:
        """Say whether the token owns a lease now."""
        self.service.expire()
        return self.table.lease(Token(token)) is not None

    def hold(self, space: Space, name: str, token: str, *, ttl: float = 10, wait: bool = False) -> None:
        """Acquire in any space, as a session would."""
        ticket = self.service.next_ticket()
        wanted = Acquire(Token(token), space, name, ticket, microseconds(ttl), Mode.EXCLUSIVE, wait, "a session")
        self.service.handle("a session", wanted)


async def eventually(condition: Callable[[], bool]) -> None:
    """Give the event loop turns until the condition holds, within the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for (a server noticing a closed socket) sets no event
            await asyncio.sleep(0)


def cluster(*, keys: tuple[str, ...] = (), classic_key: str | None = None, **limits: Any) -> Cluster:
    """Describe a cluster of one node, with these API keys, this classic key and these limits."""
    return Cluster(
        name="test",
        nodes=(NodeAddress(NODE_ID, "http://127.0.0.1:8001"),),
        limits=Limits(**limits),
        api_keys=tuple(ApiKey(f"key{n}", _hash(key)) for n, key in enumerate(keys)),
        classic=Classic(key_sha256=_hash(classic_key) if classic_key is not None else None),
    )


@asynccontextmanager
async def serving(described: Cluster | None = None) -> AsyncIterator[Node]:
    """Serve one node while the block runs."""
    clock = FakeClock()
    context = create_context(described or cluster(), NODE_ID, clock)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(context)
    await server.start(listener)
    try:
        async with aiohttp.ClientSession() as http:
            yield Node(context.service, clock, listener.getsockname()[1], http)
    finally:
        await server.stop()


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()
