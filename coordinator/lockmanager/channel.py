"""One session with one node: connects, says hello, batches what is sent in a tick, beats, reconnects.

Knows nothing of locks: frames of answers go to its `Hub`, which also says how soon silence matters. Messages given
to it while the node is away are dropped, as whoever sent them asks again when the session is live; only releases
are kept, and sent again until the node confirms them or their ttl has passed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from .ballot import Link
from .clock import Clock
from .durations import HEARTBEAT_LIMIT, MICROSECONDS, SILENT_HEARTBEATS, heartbeat
from .errors import AccessDenied, ClusterMismatch, LockManagerError, ProtocolMismatch
from .releases import Releases
from .transport import Connection, ConnectionLost, Connector, read_frames
from .wire import (
    Acquire,
    Answer,
    Hello,
    MalformedFrame,
    Refusal,
    Release,
    Released,
    Token,
    UpFrame,
    UpMessage,
    Welcome,
    decode_down,
    encode_within_limit,
)

log = logging.getLogger("lockmanager")

HELLO_DEADLINE: Final = 1.0
"""Seconds a node may take to answer the hello."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""Seconds between attempts to connect: doubled from the first to the longest, and jittered."""

NEVER: Final = 1 << 62
"""When a channel without a heartbeat beats next."""


_GREETINGS: Final = (Welcome, Refusal)


class Hub(Protocol):
    """Who owns the channels."""

    def on_link(self, node: str, link: Link, cause: str) -> None:
        """Learn that a session came up or went down."""
        ...

    def on_answers(self, node: str, echo: int, largest_ticket: int, answers: list[Answer]) -> None:
        """Take the answers of one frame, in order."""
        ...

    def on_beat(self) -> None:
        """Learn, once a second or more often while anything depends on it, that time passes."""
        ...

    def shortest_ttl(self) -> int | None:
        """Return the shortest ttl of what waits or is held, or None when the sessions may be idle."""
        ...


class Channel:
    """The session with one node. `run` keeps it alive until it is cancelled."""

    def __init__(
        self,
        node: str,
        url: str,
        hello: Hello,
        hub: Hub,
        *,
        connector: Connector,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self.node = node
        self.link, self.cause = self.standing = (Link.CONNECTING, "not connected yet")
        self.refusal: LockManagerError | None = None
        self.url = url
        self._hello = hello
        self._hub = hub
        self._connector = connector
        self._clock = clock
        self._jitter = jitter
        self._connection: Connection | None = None
        self._closing = False
        self._outbox: list[UpMessage] = []
        self._releases = Releases()
        self._heard = 0
        self._sent = 0
        self._beat: asyncio.TimerHandle | None = None
        self.beat_due = NEVER

    # Sending

    def send(self, message: UpMessage) -> None:
        """Put a message into the frame of this tick; dropped while the node is away."""
        if self.link is not Link.LIVE:
            return
        if isinstance(message, Acquire):
            self._releases.ask(message.token)
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self.flush)
        self._outbox.append(message)

    def release(self, release: Release, ttl: int, now: int) -> None:
        """Send a release, and again on each reconnect until it is confirmed or `ttl` after `now` has passed."""
        if self._releases.release(release.token, now + ttl, now):
            self.send(release)

    def disown(self, token: Token) -> None:
        """Give back a grant nobody here knows, such as that of a late request, unless its release is on the way."""
        if token not in self._releases:
            self.send(Release(token))

    def flush(self) -> None:
        """Send what waits as one frame now."""
        if self._outbox and self._connection is not None:
            outbox, self._outbox = self._outbox, []
            self._send_frame(self._connection, outbox)

    async def close(self) -> None:
        """Say goodbye and wait for the answer, within half a second; `run` then ends.

        Dropped in the middle of the node's answers, the connection would take with it what the node has not read yet.
        """
        self._closing = True
        if self._connection is not None:
            await self._connection.close()

    def keep_alive(self) -> None:
        """Beat as often as the shortest ttl asks for: something waits or is held from now on."""
        if self.link is not Link.LIVE:
            return
        now = self._clock.now()
        if self._beat is None:
            self._heard = now
        elif self.beat_due > now + (interval := self._interval()):
            self._beat.cancel()
            self._heard = max(self._heard, now - interval)  # the node gets the new patience from now
        else:
            return
        self._schedule_beat()

    def _send_frame(self, connection: Connection, messages: list[UpMessage]) -> None:
        self._sent = self._clock.now()
        for data in encode_within_limit(UpFrame(self._sent, messages)):
            connection.send(data)

    # The session

    async def run(self) -> None:
        """Keep a session with the node until closed or cancelled."""
        pause = FIRST_PAUSE
        while True:
            cause, was_live = await self._one_session()
            if self._closing:
                return
            pause = FIRST_PAUSE if was_live else min(2 * pause, LONGEST_PAUSE)
            self._set_link(Link.DOWN if self.refusal is None else Link.REFUSED, cause)
            await asyncio.sleep(pause * (0.5 + self._jitter() / 2))

    async def _one_session(self) -> tuple[str, bool]:
        """Connect, greet and read until the session ends; returns why, and whether it was ever live."""
        connection: Connection | None = None
        live = False
        try:
            connection = await self._connector(self.node, self.url)
            await self._greet(connection)
            live = True
            await read_frames(connection, self._receive)
        except (ConnectionLost, MalformedFrame) as error:
            self.refusal = None
            return str(error), live
        except LockManagerError as error:
            self.refusal = error
            return str(error), live
        except Exception as error:  # a fault of ours must not silence this node for ever
            self.refusal = None
            log.exception("session_failed node=%s", self.node)
            return f"internal error: {type(error).__name__}", live
        finally:
            self._detach()
            if connection is not None:
                await connection.close()

    async def _greet(self, connection: Connection) -> None:
        self._send_frame(connection, [self._hello])
        try:
            async with asyncio.timeout(HELLO_DEADLINE):
                frame = decode_down(await connection.receive())
        except TimeoutError:
            raise ConnectionLost(f"connected, but no welcome within {HELLO_DEADLINE:g} s") from None
        match frame.messages:
            case [Welcome(node=node), *rest]:
                self._welcomed(connection, node)
                self._deliver(frame.echo, frame.largest_ticket, rest)
            case [Refusal(code=code, detail=detail), *_]:
                raise _refusal_error(self.node, code, detail)
            case _:
                raise ConnectionLost("the node answered the hello with something else than a welcome")

    def _welcomed(self, connection: Connection, node: str) -> None:
        if node != self.node:
            raise ClusterMismatch(self.node, f"the node at {self.url} says it is {node!r}")
        self._connection = connection
        self.refusal = None
        self._outbox = []
        self._releases.reconnected(self._sent)
        self._heard = self._clock.now()
        self._set_link(Link.LIVE, "")
        self._release_again()
        if self._hub.shortest_ttl() is not None:
            self.keep_alive()

    def _receive(self, data: bytes) -> None:
        frame = decode_down(data)
        self._heard = self._clock.now()
        self._deliver(frame.echo, frame.largest_ticket, frame.messages)

    def _deliver(self, echo: int, largest_ticket: int, messages: list[Answer | Welcome | Refusal]) -> None:
        answers: list[Answer] = []
        for message in messages:
            if isinstance(message, Released):
                self._releases.confirm(message.token)
            elif isinstance(message, _GREETINGS):
                raise ConnectionLost("the node sent a second welcome")
            answers.append(message)
        if self._releases.backlog:
            self._release_again()
        self._hub.on_answers(self.node, echo, largest_ticket, answers)

    def _release_again(self) -> None:
        for token in self._releases.next_portion():
            self.send(Release(token))

    def _detach(self) -> None:
        self._connection = None
        self._outbox = []
        self.beat_due = NEVER
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _set_link(self, link: Link, cause: str) -> None:
        if (link, cause) != (self.link, self.cause):
            log.info("session_%s node=%s cause=%s", link.name.lower(), self.node, cause or "-")
            self.link, self.cause = self.standing = (link, cause)
            self._hub.on_link(self.node, link, cause)

    # The heartbeat

    def _interval(self) -> int:
        ttl = self._hub.shortest_ttl()
        return heartbeat(ttl) if ttl is not None else HEARTBEAT_LIMIT

    def _schedule_beat(self) -> None:
        interval = self._interval()
        self.beat_due = self._clock.now() + interval
        self._beat = asyncio.get_running_loop().call_later(interval / MICROSECONDS, self._on_beat, interval)

    def _on_beat(self, interval: int) -> None:
        """Send an empty frame unless something was just sent; give the node up after three silent beats."""
        self._beat, due, self.beat_due = None, self.beat_due, NEVER
        self._hub.on_beat()
        now = self._clock.now()
        if self._connection is None or self._hub.shortest_ttl() is None:
            return
        if now - due > interval:
            self._heard = now  # this process stood still itself: what the node sent is still unread
        if now - self._heard > SILENT_HEARTBEATS * interval:
            self._connection.abort()
            return
        if now - self._sent >= interval // 2:
            self._send_frame(self._connection, [])
        self._schedule_beat()


def _refusal_error(node: str, code: str, detail: str) -> LockManagerError:
    match code:
        case "cluster":
            return ClusterMismatch(node, detail)
        case "access":
            return AccessDenied(node, detail)
        case _:
            return ProtocolMismatch(node, detail)
