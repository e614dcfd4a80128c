"""The seam between a channel and the network: one connection that carries frames. The real one is a WebSocket.

Tests put a network of their own here. `send` never waits: a whole frame is handed to the transport at once, and a
peer that does not read is given up when 4 MiB wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, Protocol, cast

import aiohttp
from aiohttp import WSMsgType

from .arrivals import install
from .errors import AccessDenied
from .framing import framed_and_masked
from .wire import FRAME_LIMIT, SEND_BUFFER_LIMIT

CONNECT_DEADLINE: Final = 1.0
"""Seconds a connection may take to come up."""

_CLOSE_DEADLINE: Final = 0.5


class ConnectionLost(Exception):
    """The connection could not be made, or is gone; the text says why, for people."""


class Connection(Protocol):
    """Carries frames both ways until either side ends it."""

    def send(self, data: bytes) -> None:
        """Send one frame without waiting; on a dead connection nothing happens, `receive` tells."""
        ...

    async def receive(self) -> bytes:
        """Wait for the next frame; raises ConnectionLost when there will be none."""
        ...

    def abort(self) -> None:
        """Drop the connection at once; a pending `receive` raises. Idempotent."""
        ...

    async def close(self) -> None:
        """End the connection politely, within half a second. Idempotent."""
        ...


async def read_frames(connection: Connection, on_frame: Callable[[bytes], None]) -> NoReturn:
    """Hand over frame after frame until the connection ends; raises ConnectionLost, or what `on_frame` raises."""
    # No deadline here: whoever reads aborts a connection that is silent while anything depends on it.
    if isinstance(connection, _WebSocketConnection):
        await connection.pump(on_frame)
    while True:
        on_frame(await connection.receive())


Connector = Callable[[str, str], Awaitable[Connection]]
"""Connects to (node id, URL); raises ConnectionLost or AccessDenied."""


class _FrameSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket that keeps hold of its transport: to write to it, which never suspends, and to abort."""

    def __init__(
        self, reader: Any, writer: Any, protocol: Any, response: aiohttp.ClientResponse, *rest: Any, **options: Any
    ) -> None:
        super().__init__(reader, writer, protocol, response, *rest, **options)
        connection = response.connection
        self.transport: asyncio.Transport | None = None if connection is None else connection.transport


class _WebSocketConnection:
    """A connection over aiohttp's WebSocket client."""

    def __init__(self, socket: _FrameSocket) -> None:
        self._socket = socket
        self._arrivals = install(socket)
        self._failure: Exception | None = None

    def send(self, data: bytes) -> None:
        transport = self._socket.transport
        if self._socket.closed or transport is None or transport.is_closing():
            return
        transport.write(framed_and_masked(data, random.getrandbits(32)))
        if transport.get_write_buffer_size() > SEND_BUFFER_LIMIT:
            transport.abort()

    async def receive(self) -> bytes:
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        raise ConnectionLost(_why(message))

    async def pump(self, on_frame: Callable[[bytes], None]) -> None:
        """Hand over each frame as it arrives, until there will be none; raises as `receive`, or what `on_frame` did."""
        arrivals = self._arrivals
        while arrivals is None or arrivals._buffer:  # noqa: SLF001  # what came before is handed over first
            on_frame(await self.receive())

        def guarded(data: bytes) -> None:
            try:
                if self._failure is None:
                    on_frame(data)
            except Exception as error:  # noqa: BLE001 - the parser would swallow it; it is raised below
                self._failure = error
                self.abort()

        arrivals.on_frame = guarded
        try:
            await self.receive()
        except ConnectionLost:
            if self._failure is None:
                raise
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        if self._socket.transport is not None:
            self._socket.transport.abort()

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self._socket.close()


class WebSocketConnector:
    """Makes WebSocket connections to nodes; owns the plain HTTP session they share."""

    def __init__(self, api_key: str | None = None) -> None:
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http: aiohttp.ClientSession | None = None

    async def __call__(self, node: str, url: str) -> Connection:
        if self._http is None:
            self._http = self._new_http()
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                socket = await self._http.ws_connect(
                    f"{url}/v1/session", max_msg_size=FRAME_LIMIT, compress=0, autoping=True
                )
        except TimeoutError:
            raise ConnectionLost(f"no connection within {CONNECT_DEADLINE:g} s") from None
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                raise AccessDenied(node, f"HTTP {error.status}") from None
            raise ConnectionLost(f"HTTP {error.status} instead of a session") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(cause_of(error)) from None
        return _WebSocketConnection(cast(_FrameSocket, socket))

    def _new_http(self) -> aiohttp.ClientSession:
        """Make the HTTP session; it looks up a node's address anew each time, as containers change theirs."""
        connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
        return aiohttp.ClientSession(ws_response_class=_FrameSocket, headers=self._headers, connector=connector)

    async def close(self) -> None:
        """Close the HTTP session; within half a second."""
        if self._http is not None:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self._http.close()


def cause_of(error: Exception) -> str:
    """Return why no connection came about, in the system's own words: no address, no library's name for it."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
        return os.strerror(inner.errno).lower()
    return str(inner) or type(inner).__name__


def _why(message: aiohttp.WSMessage) -> str:
    match message.type:
        case WSMsgType.CLOSE:
            return f"the node closed the session: {message.extra or message.data}"
        case WSMsgType.ERROR:
            return f"the session broke: {message.data}"
        case WSMsgType.TEXT:
            return "the node sent text where frames are binary"
        case _:
            return "the connection is gone"
