"""A way to a cluster's nodes that a test can cut: connections stay open, and nothing gets through any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from lockmanager.topology import Cluster, NodeAddress


class CutOff:
    """Listens in place of every node and passes bytes on until it is cut."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let nothing through from now on, in either direction."""
        self._open.clear()

    def mend(self) -> None:
        """Let everything through again, what was held back first."""
        self._open.set()

    async def _listen(self, url: str) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._tasks.add(asyncio.create_task(self._join(url, reader, writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _join(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(url)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(address.hostname, address.port)
            await asyncio.gather(self._pump(reader, there), self._pump(back, writer))
        except OSError:
            return
        finally:
            for one in (writer, there):
                if one is not None:
                    one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._open.wait()
            writer.write(data)
        writer.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def through_cut_off(cluster: Cluster) -> AsyncIterator[tuple[Cluster, CutOff]]:
    """Give the same cluster at other addresses, and what cuts those."""
    way = CutOff()
    try:
        nodes = [NodeAddress(node.id, await way._listen(node.url)) for node in cluster.nodes]
        yield msgspec.structs.replace(cluster, nodes=tuple(nodes)), way
    finally:
        await way._end()
