"""The WebSocket sessions of coordinators: hello, frames in, frames out.

Frames are written to the transport, whole and without awaiting: to wait would only be to wait for a slow reader. A
session that does not read is closed when 4 MiB wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from lockmanager.framing import PING, framed
from lockmanager.wire import (
    FRAME_LIMIT,
    SEND_BUFFER_LIMIT,
    MalformedFrame,
    Refusal,
    UpFrame,
    Welcome,
    decode_up,
)

from ..sessions import Session
from .context import NodeContext
from .greeting import Refused, admit, answer
from .problems import Problem, unexpected

log = logging.getLogger("lockmanager_node")

HELLO_DEADLINE: Final = 5.0
"""Seconds a connection may take to say hello."""

_CLOSE_DEADLINE: Final = 1.0
PING_INTERVAL: Final = 15.0
"""Seconds of silence after which a connection is pinged, and after as many more dropped."""


_PINGS: Final = (WSMsgType.PING, WSMsgType.PONG)


def routes(context: NodeContext) -> list[web.RouteDef]:
    """Return the route of the sessions."""

    async def session(request: web.Request) -> web.WebSocketResponse:
        return await _Connection(context, request).run()

    return [web.get("/v1/session", session, allow_head=False)]


class _Connection:
    """One WebSocket from its upgrade to its close."""

    def __init__(self, context: NodeContext, request: web.Request) -> None:
        self._context = context
        self._request = request
        self._key_id = context.access.allows(request.headers.get("Authorization")).key_id
        self._socket = web.WebSocketResponse(
            timeout=_CLOSE_DEADLINE, autoping=False, max_msg_size=FRAME_LIMIT, compress=False
        )
        self._closing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._heard, self._pinged = True, False
        self._watch: asyncio.TimerHandle | None = None

    async def run(self) -> web.WebSocketResponse:
        try:
            async with asyncio.timeout(HELLO_DEADLINE):
                await self._socket.prepare(self._request)
        except ConnectionError:
            return self._socket  # the client left before its upgrade was answered
        except ValueError:
            raise Problem(400, "bad_request", "Sec-WebSocket-Key is not base64 of 16 bytes") from None
        closer = asyncio.create_task(self._close_when_told(), name="session closer")
        self._watch_silence()
        session: Session | None = None
        try:
            session = await self._greet()
            if session is not None:
                await self._read(session)
        except ConnectionError:
            pass  # the client left while it was answered
        except Exception as error:  # noqa: BLE001 - the answer has begun: nobody above could say more than this
            unexpected(self._request, error)
        finally:
            if session is not None:
                self._context.service.disconnect(session)
            self._close("the session ended")
            if self._watch is not None:
                self._watch.cancel()
            await closer
        return self._socket

    async def _greet(self) -> Session | None:
        """Read the hello and answer it; None when the connection ended or the hello was refused."""
        try:
            async with asyncio.timeout(HELLO_DEADLINE):
                frame = await self._next_frame()
            return None if frame is None else self._admit(frame)
        except TimeoutError:
            self._refuse("protocol", f"no hello within {HELLO_DEADLINE:g} s")
        except Refused as refused:
            self._refuse(refused.code, refused.detail)
        return None

    def _admit(self, frame: UpFrame) -> Session:
        return admit(self._context, frame, key_id=self._key_id, send=self._send, close=self._close)

    async def _read(self, session: Session) -> None:
        """Hand over frame after frame until either side ends the session.

        The read has no deadline of its own: pings close a dead connection, and the silence rule ends a waiter's.
        """
        while session.open and (frame := await self._next_frame()) is not None:
            session.receive(frame)

    async def _next_frame(self) -> UpFrame | None:
        while (message := await self._socket.receive()).type in _PINGS:
            self._heard = True
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
        self._heard = True
        if message.type is WSMsgType.BINARY:
            try:
                return decode_up(message.data)
            except MalformedFrame as error:
                self._refuse("protocol", str(error))
                return None
        if message.type is WSMsgType.TEXT:
            self._refuse("protocol", "frames are binary MessagePack, this one is text")
        return None

    def _watch_silence(self) -> None:
        """Ping a connection that was silent for a while, and drop one that does not answer that either.

        One look per interval costs a busy session nothing, where a timer set anew with each frame would.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if self._heard:
            self._heard = self._pinged = False
        elif not self._pinged:
            self._pinged = True
            transport.write(PING)
        else:
            log.info("session_dead peer=%s", self._request.remote)
            transport.abort()
            return
        self._watch = asyncio.get_running_loop().call_later(PING_INTERVAL, self._watch_silence)

    def _refuse(self, code: str, detail: str) -> None:
        log.warning("session_refused code=%s peer=%s detail=%s", code, self._request.remote, detail)
        self._reply(0, Refusal(code, detail))
        self._close(detail)

    def _reply(self, echo: int, message: Welcome | Refusal) -> None:
        self._send(answer(self._context, echo, message))

    def _send(self, data: bytes) -> None:
        transport = self._request.transport
        if self._socket.closed or transport is None or transport.is_closing():
            return
        transport.write(framed(data))
        if transport.get_write_buffer_size() > SEND_BUFFER_LIMIT:
            log.warning("session_does_not_read peer=%s", self._request.remote)
            transport.abort()

    def _close(self, reason: str) -> None:
        if not self._closing.done():
            self._closing.set_result(reason)

    async def _close_when_told(self) -> None:
        """Close the socket when anybody asked for it, within a deadline; then the reader ends by itself."""
        reason = await self._closing
        try:
            async with asyncio.timeout(2 * _CLOSE_DEADLINE):
                await self._socket.close(code=WSCloseCode.GOING_AWAY, message=reason.encode()[:120])
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
