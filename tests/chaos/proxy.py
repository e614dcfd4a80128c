"""A way from one client to one node that breaks as networks do: resets, half-open connections, stalls, delays.

Unlike `tests.support.relay`, what a half-open connection swallows never arrives, and nobody is ever told. The process
(`python -m tests.chaos.proxy TARGETS`, a file such as {"node1": [HOST, PORT]}) says on which ports it listens and obeys
orders such as {"node": "node1", "do": "stall", "how": ["up"]}.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from tests.chaos.child import orders, say

Direction = Literal["up", "down"]
"""Up: from the client to the node."""

_CHUNK: Final = 1 << 16
_CONNECT_DEADLINE: Final = 5.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST, and what was not delivered is gone."""


class _Connection:
    """One connection of the client, and the one to the node that answers it."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self.ends = list(ends)
        self.swallows = False

    def reset(self) -> None:
        for end in self.ends:
            with suppress(OSError):  # an end that is closed already
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.transport.abort()


class FaultProxy:
    """Listens on `host` and passes connections on to `target` while the block runs."""

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self._target = target
        self._host = host
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._passing = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._stalls: Counter[Direction] = Counter()
        self._swallows = False
        self._delay = 0.0
        self.swallowed = 0
        """Bytes that never arrived."""
        for passing in self._passing.values():
            passing.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "use the proxy inside `async with`"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def reset(self) -> None:
        """Break all connections by RST."""
        for connection in self._connections.values():
            connection.reset()

    def half_open(self) -> None:
        """Let nothing of what comes now arrive, on connections that are there and on new ones, and close none.

        These connections stay so for ever, as when a firewall between has forgotten them; after `whole`, new ones work.
        """
        self._swallows = True
        for connection in self._connections.values():
            connection.swallows = True

    def whole(self) -> None:
        """Let new connections work again after `half_open`."""
        self._swallows = False

    def stall(self, *directions: Direction) -> None:
        """Hold up what goes in a direction; after as many `flow` it arrives late."""
        for direction in directions:
            self._stalls[direction] += 1
            self._passing[direction].clear()

    def flow(self, *directions: Direction) -> None:
        """Undo one `stall`."""
        for direction in directions:
            self._stalls[direction] -= 1
            if not self._stalls[direction]:
                self._passing[direction].set()

    def slow(self, seconds: float) -> None:
        """Let everything take so much longer; 0.0 undoes it."""
        self._delay = seconds

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0)
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
        connection = self._connections[task] = _Connection(writer)
        connection.swallows = self._swallows
        try:
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._join(connection, reader, writer)
        finally:
            del self._connections[task]
            for end in connection.ends:
                end.transport.abort()

    async def _join(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_CONNECT_DEADLINE):
            back, onward = await asyncio.open_connection(*self._target)
        connection.ends.append(onward)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(connection, "up", reader, onward))
            both.create_task(self._pass_on(connection, "down", back, writer))

    async def _pass_on(
        self,
        connection: _Connection,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Copy until this side ends, the end included; no deadline, as the proxy's own end cancels it."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._passing[direction].wait()
                if connection.swallows:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        await self._passing[direction].wait()
        if not connection.swallows:
            writer.close()


async def serve(targets: dict[str, tuple[str, int]]) -> None:
    """Be the proxies to all nodes, until the standard input ends."""
    async with AsyncExitStack() as stack:
        proxies = {node: await stack.enter_async_context(FaultProxy(target)) for node, target in targets.items()}
        say(ports={node: proxy.port for node, proxy in proxies.items()})
        reader = await orders()
        while line := await reader.readline():
            order = json.loads(line)
            getattr(proxies[order["node"]], order["do"])(*order.get("how", ()))


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=dict[str, tuple[str, int]])))
