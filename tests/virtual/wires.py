"""Connections in memory, as asyncio transports: bytes travel in virtual time, and a wire can be cut, stalled and reset.

A wire has two ends and two ways. A way keeps its order, delivers in pieces of any size, and what is under way when a
wire breaks may be lost from some byte on; each end learns of it at its own time. Who knows nothing of what is carried
here cannot tell it from TCP. How long things take and where they break is drawn by the `Weather`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from errno import ECONNRESET
from typing import Final, Protocol

from tests.virtual.loop import RESOLUTION

KERNEL: Final = 1 << 16
"""Bytes that leave a transport's buffer before they arrive, as a socket's own buffer would take them."""

_HIGH, _LOW = 1 << 16, 1 << 14


class Weather(Protocol):
    """What is left to chance."""

    def delay(self) -> float:
        """Return for how many seconds something travels."""
        ...

    def notice(self) -> float:
        """Return how many seconds more it takes until an end learns that its wire broke."""
        ...

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Cut what is sent together into what arrives together."""
        ...

    def survive(self, size: int) -> int:
        """Return how many of the bytes under way still arrive when the wire breaks."""
        ...


Trace = Callable[[str, str, bytes], None]
"""Told the name of a way, what happens on it (`sent`, `arrived`, `end`, `reset`), and the bytes."""


class Mark(Enum):
    """What travels besides bytes."""

    END = auto()
    RESET = auto()


class Way:
    """One direction of a wire."""

    def __init__(self, name: str, weather: Weather, trace: Trace) -> None:
        self.name = name
        self.stalled = False
        self.broken = False
        self._weather = weather
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._travelling: deque[tuple[float, bytes | Mark]] = deque()
        self._latest = 0.0
        self._sender: End
        self._receiver: End

    def join(self, sender: End, receiver: End) -> None:
        self._sender, self._receiver = sender, receiver
        sender.out, receiver.into = self, self

    @property
    def size(self) -> int:
        """Return how many bytes are under way."""
        return sum(len(item) for _, item in self._travelling if isinstance(item, bytes))

    @property
    def unread(self) -> bool:
        """Whether something has arrived that the receiver has not read."""
        return bool(self._travelling) and self._has_arrived()

    def carry(self, data: bytes) -> None:
        if not self.broken:
            self._trace(self.name, "sent", data)
            for piece in self._weather.pieces(data):
                self._send(piece)

    def end(self) -> None:
        """Carry nothing after what is under way; the receiver reads the end."""
        if not self.broken:
            self.broken = True
            self._send(Mark.END)

    def reset(self) -> None:
        """Break off: some of what is under way is lost, and the receiver learns of it in its own time."""
        if self._travelling and self._travelling[-1][1] is Mark.RESET:
            return
        self.broken = True
        self.keep(self._weather.survive(self.size))
        self._travelling = deque(sent for sent in self._travelling if sent[1] is not Mark.END)
        self._send(Mark.RESET, self._weather.notice())

    def keep(self, size: int) -> None:
        """Lose all bytes that are under way but the first; how the way ends is not lost."""
        kept: deque[tuple[float, bytes | Mark]] = deque()
        for instant, item in self._travelling:
            if isinstance(item, Mark):
                kept.append((instant, item))
            elif size > 0:
                kept.append((instant, item[:size]))
                size -= len(item)
        self._travelling = kept

    def stall(self) -> None:
        """Let nothing arrive until `resume`; nothing is lost."""
        self.stalled = True

    def resume(self) -> None:
        self.stalled = False
        self.deliver()

    def deliver(self) -> None:
        """Hand over what has arrived, as far as it is read."""
        while self._travelling and self._has_arrived() and not self.stalled and self._receiver.reads:
            _, item = self._travelling.popleft()
            self._trace(self.name, *_told(item))
            self._receiver.take(item)
            self._sender.drained()

    def _has_arrived(self) -> bool:
        return self._travelling[0][0] < self._loop.time() + RESOLUTION

    def _send(self, item: bytes | Mark, longer: float = 0.0) -> None:
        self._latest = max(self._latest, self._loop.time() + self._weather.delay() + longer)
        self._travelling.append((self._latest, item))
        self._loop.call_at(self._latest, self.deliver)


def _told(item: bytes | Mark) -> tuple[str, bytes]:
    return ("arrived", item) if isinstance(item, bytes) else (item.name.lower(), b"")


class End(asyncio.Transport):
    """One end of a wire, as asyncio's own transports behave over a socket."""

    out: Way
    into: Way

    def __init__(self, name: str, peer: str) -> None:
        super().__init__({"sockname": (name, 0), "peername": (peer, 0)})
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None
        self._reading = True
        self._closing = False
        self._over = False
        self._writing_paused = False
        self._high, self._low = _HIGH, _LOW

    # The way in

    @property
    def reads(self) -> bool:
        """Whether what arrives is taken: read, or dropped because nobody will read any more."""
        return self._protocol is not None and (self._reading or self._closing)

    def take(self, item: bytes | Mark) -> None:
        if self._closing:
            if isinstance(item, bytes):
                self.out.reset()
        elif item is Mark.RESET:
            self._finish(ConnectionResetError(ECONNRESET, "Connection reset by peer"))
        else:
            self._hand_over(item)

    def _hand_over(self, item: bytes | Mark) -> None:
        protocol = self.get_protocol()
        try:
            if isinstance(item, bytes):
                protocol.data_received(item)
            elif not protocol.eof_received():
                self.close()
        except Exception as error:  # noqa: BLE001 - as asyncio does: said aloud, and the connection is given up
            self._loop.call_exception_handler({"message": "Fatal error: protocol failed", "exception": error})
            self._finish(error)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self.into.deliver)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    # The way out

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self.out.carry(bytes(data))
            if self.get_write_buffer_size() > self._high and not self._writing_paused:
                self._writing_paused = True
                self.get_protocol().pause_writing()

    def drained(self) -> None:
        """Learn that some of what was written has arrived."""
        if self._writing_paused and self.get_write_buffer_size() <= self._low:
            self._writing_paused = False
            self.get_protocol().resume_writing()
        if self._closing:
            self._finish_when_flushed()

    def get_write_buffer_size(self) -> int:
        return max(0, self.out.size - KERNEL)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.out.end()

    # The end

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._say_goodbye()
            self._finish_when_flushed()

    def abort(self) -> None:
        if not self._over:
            self.out.keep(KERNEL)
            if not self._closing:
                self._closing = True
                self._say_goodbye()
            self._finish(None)

    def is_closing(self) -> bool:
        return self._closing

    def _say_goodbye(self) -> None:
        if self.into.unread:
            self.out.reset()
        else:
            self.out.end()
        self.into.deliver()

    def _finish_when_flushed(self) -> None:
        if not self._over and self.get_write_buffer_size() == 0:
            self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        if not self._over:
            self._closing = self._over = True
            self._loop.call_soon(self.get_protocol().connection_lost, error)

    # Who is served

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Let a protocol have the connection."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._loop.call_soon(self.into.deliver)

    def get_protocol(self) -> asyncio.Protocol:
        assert self._protocol is not None
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol


class Wire:
    """A connection from a client to a server, with what can happen to it."""

    def __init__(self, client: str, server: str, weather: Weather, trace: Trace, number: int) -> None:
        self.client, self.server = client, server
        self.up = Way(f"{number} {client}>{server}", weather, trace)
        self.down = Way(f"{number} {server}>{client}", weather, trace)
        self.near, self.far = End(client, server), End(server, client)
        self.up.join(self.near, self.far)
        self.down.join(self.far, self.near)

    @property
    def over(self) -> bool:
        """Whether both ends are done with it."""
        return self.near.is_closing() and self.far.is_closing()

    def reset(self) -> None:
        """Break it; each end learns of it at its own time."""
        for way in (self.up, self.down):
            way.stalled = False
            way.reset()

    def stall(self, *ways: Way) -> None:
        for way in ways or (self.up, self.down):
            way.stall()

    def resume(self) -> None:
        for way in (self.up, self.down):
            way.resume()
