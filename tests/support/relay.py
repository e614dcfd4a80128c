"""A way from one client to one node that can be cut: a TCP relay on a loopback port.

Cut, it looks like a network that swallows packets: connections stay up, new ones are accepted, and nothing passes in
either direction; what was swallowed is not lost but late, and comes through once the way is healed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from lockmanager import Cluster

_CHUNK: Final = 1 << 16
_CONNECT_DEADLINE: Final = 5.0


class Relay:
    """Passes connections on to `target` (an http URL) while the block runs."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "", address.port or 80)
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    @property
    def url(self) -> str:
        """Where the relay listens."""
        assert self._server is not None, "use the relay inside `async with`"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Let nothing pass from now on."""
        self._passing.clear()

    def heal(self) -> None:
        """Let everything pass again, what was held up first."""
        self._passing.set()

    def reset(self) -> None:
        """Break all connections."""
        for writers in self._connections.values():
            for writer in writers:
                writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = (writer,)
        try:
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._connect(task, reader, writer)
        finally:
            del self._connections[task]
            writer.transport.abort()

    async def _connect(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with asyncio.timeout(_CONNECT_DEADLINE):
            onward = await asyncio.open_connection(*self._target)
        self._connections[task] = (writer, onward[1])
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, onward[1]))
                both.create_task(self._pass_on(onward[0], writer))
        finally:
            onward[1].transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until either side ends, the end included. No deadline: the relay's own end cancels it."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        await self._passing.wait()
        writer.close()


class Ways:
    """One client's ways to all nodes of a cluster; `cluster` is the cluster as that client sees it."""

    def __init__(self, cluster: Cluster, relays: dict[str, Relay]) -> None:
        self.relays = relays
        nodes = tuple(msgspec.structs.replace(node, url=relays[node.id].url) for node in cluster.nodes)
        self.cluster = msgspec.structs.replace(cluster, nodes=nodes)

    def cut(self, nodes: Iterable[str] = ()) -> None:
        """Cut the client off from these nodes (default: all)."""
        for node in tuple(nodes) or self.relays:
            self.relays[node].cut()

    def heal(self) -> None:
        """Let everything pass again."""
        for relay in self.relays.values():
            relay.heal()


@asynccontextmanager
async def ways_to(cluster: Cluster) -> AsyncIterator[Ways]:
    """Give one client relays of its own to every node while the block runs."""
    async with AsyncExitStack() as stack:
        relays = {
            node: await stack.enter_async_context(Relay(cluster.url(node, "internal"))) for node in cluster.node_ids
        }
        yield Ways(cluster, relays)
