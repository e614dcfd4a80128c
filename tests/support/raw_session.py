"""One session with one node, as a WebSocket that carries frames: nothing is decided, renewed or sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiohttp
from aiohttp import WSMsgType

from lockmanager.clock import SystemClock
from lockmanager.wire import (
    FRAME_LIMIT,
    PROTOCOL,
    DownFrame,
    Hello,
    UpFrame,
    UpMessage,
    Welcome,
    decode_down,
    encode,
)

DEADLINE: Final = 20.0
"""Seconds the next frame may take."""

_clock = SystemClock()


class RawSession:
    """An open session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, *messages: UpMessage) -> None:
        """Send one frame with our clock; nothing happens when the node is gone, `frame` tells."""
        with suppress(ConnectionError):
            await self._socket.send_bytes(encode(UpFrame(_clock.now(), list(messages))))

    async def frame(self) -> DownFrame | None:
        """Wait for the next frame; None when the node is gone."""
        async with asyncio.timeout(DEADLINE):
            message = await self._socket.receive()
        return decode_down(message.data) if message.type is WSMsgType.BINARY else None


@asynccontextmanager
async def raw_session(
    http: aiohttp.ClientSession, url: str, fingerprint: str, session_id: str
) -> AsyncIterator[RawSession]:
    """Open a session while the block runs; raises aiohttp.ClientError where nobody listens."""
    async with http.ws_connect(f"{url}/v1/session", max_msg_size=FRAME_LIMIT) as socket:
        session = RawSession(socket)
        await session.send(Hello(PROTOCOL, fingerprint, session_id, "a test"))
        frame = await session.frame()
        if frame is None:
            raise aiohttp.ClientConnectionError("the node ended before it said welcome")
        assert isinstance(frame.messages[0], Welcome), frame
        yield session
