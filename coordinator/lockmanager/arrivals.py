"""Frames handed over in the step in which they arrive, in place of a queue, a future and a task's step for each.

aiohttp offers no such way, so this puts a queue of its own kind behind its parser, once, when a WebSocket is open and
before the other side may send: binary messages go to a callback, everything else the usual way. Where a release of
aiohttp no longer has these parts, nothing is changed and frames arrive by `receive` as ever, only slower.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import WSMsgType
from aiohttp.http import WebSocketReader

from .wire import FRAME_LIMIT

try:
    from aiohttp._websocket.reader import WebSocketDataQueue
except ImportError:  # pragma: no cover - a later aiohttp
    WebSocketDataQueue = object  # type: ignore[assignment,misc]

_LIMIT: Final = 1 << 16


class DirectQueue(WebSocketDataQueue):
    """Gives binary messages to `on_frame` once that is set; keeps the others, and all before, for `receive`."""

    on_frame: Callable[[bytes], None] | None = None

    def feed_data(self, message: Any, size: int) -> None:
        if self.on_frame is not None and message.type is WSMsgType.BINARY:
            self.on_frame(message.data)
        else:
            super().feed_data(message, size)


def install(socket: aiohttp.ClientWebSocketResponse) -> DirectQueue | None:
    """Put a direct queue behind the parser of a socket that was just opened; None where that is not possible."""
    connection = socket._response.connection  # noqa: SLF001
    protocol: Any = None if connection is None else connection.protocol
    if protocol is None or getattr(protocol, "_payload_parser", None) is not getattr(socket, "_parser", protocol):
        return None
    if getattr(socket._reader, "_buffer", True):  # noqa: SLF001  # something has arrived: too late
        return None
    queue = DirectQueue(protocol, _LIMIT, loop=asyncio.get_running_loop())
    parser = WebSocketReader(queue, FRAME_LIMIT, compress=False, decode_text=True)
    socket._reader, socket._parser = queue, parser  # noqa: SLF001
    protocol._payload, protocol._payload_parser = queue, parser  # noqa: SLF001
    return queue
