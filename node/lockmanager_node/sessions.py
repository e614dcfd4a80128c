"""Those whom the service answers: sessions with an outbox and an echo anchor, and whoever else takes answers.

A frame is cut at the end of the tick in which its answers were decided, and keeps its echo however long the journal
takes. It leaves when what it gives is durable, and never before an older frame of its session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from lockmanager.wire import (
    Acquire,
    Answer,
    DownFrame,
    DownMessage,
    Granted,
    Hello,
    Raised,
    Rejected,
    Renewed,
    Revoked,
    UpFrame,
    UpMessage,
    encode_within_limit,
)

from .limits import check_session_space
from .line import Owner
from .table import Request

GIVING: Final = (Granted, Raised, Renewed, Revoked)
"""Answers that must not be forgotten: they leave when the journal is synced."""


class Recipient(Protocol):
    """Somebody answers are addressed to."""

    def deliver(self, answer: Answer) -> None:
        """Take one answer; called in the order of the decisions."""
        ...

    def close(self, reason: str) -> None:
        """Learn that no further answer will come. Idempotent."""
        ...


class SessionTaken(Exception):
    """The session id belongs to a session that another key opened."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a session: who it is, and how to send to it and close it without waiting."""

    owner: Owner = field(repr=False)
    label: str
    key_id: str | None
    send: Callable[[bytes], None]
    close: Callable[[str], None]


class Sessions(Protocol):
    """What a session asks of the service that owns it."""

    def heard(self, owner: Owner) -> None:
        """Note a sign of life."""
        ...

    def handle_all(self, owner: Owner, requests: Iterable[Request]) -> None:
        """Decide requests that came together, in their order."""
        ...

    def wants_flush(self, session: Session) -> None:
        """Let the session say what it has to say at the end of this tick."""
        ...

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` when everything decided so far is durable."""
        ...


@dataclass(slots=True, eq=False)
class _Outgoing:
    """A frame on its way out."""

    frame: DownFrame
    ready: bool


class Session:
    """One coordinator's connection as the service sees it: an outbox and the echo anchor of what is in it."""

    def __init__(self, service: Sessions, peer: Peer, sent: int) -> None:
        self.peer = peer
        self.open = True
        self._service = service
        self._sent = sent
        self._echo: int | None = None
        self._gives = False
        self._outbox: list[DownMessage] = []
        self._outgoing: deque[_Outgoing] = deque()

    def receive(self, frame: UpFrame) -> None:
        """Apply one frame of requests; its `sent` anchors every decision made for this session from now on."""
        if not self.open:
            return
        self._sent = frame.sent
        self._service.heard(self.peer.owner)
        self._service.handle_all(self.peer.owner, self._acceptable(frame.messages))
        self._anchor()

    def _acceptable(self, messages: Iterable[UpMessage]) -> Iterator[Request]:
        """Give the requests one by one up to a second hello, which ends the session."""
        for message in messages:
            if isinstance(message, Hello):
                self.close("a second hello in one session")
                return
            excess = check_session_space(message.space) if isinstance(message, Acquire) else None
            if excess is None:
                yield message
            else:
                self.deliver(Rejected(message.token, excess.code, excess.detail))

    def deliver(self, answer: Answer) -> None:
        self._outbox.append(answer)
        if not self._gives and isinstance(answer, GIVING):
            self._gives = True
        if self._echo is None:
            self._anchor()

    def _anchor(self) -> None:
        """Let the next frame rest on the newest `sent`, unless something older already waits in it."""
        if self._echo is None:
            self._echo = self._sent
            self._service.wants_flush(self)

    def flush(self, largest_ticket: int) -> None:
        """Send everything that waits as one frame, as soon as it may leave; an empty one answers a heartbeat."""
        if self._echo is None:
            return
        outgoing = _Outgoing(DownFrame(self._echo, largest_ticket, self._outbox), ready=not self._gives)
        self._outbox, self._echo, self._gives = [], None, False
        self._outgoing.append(outgoing)
        if outgoing.ready:
            self._send_ready()
        else:
            self._service.when_durable(lambda: self._is_durable(outgoing))

    def _is_durable(self, outgoing: _Outgoing) -> None:
        outgoing.ready = True
        self._send_ready()

    def _send_ready(self) -> None:
        """Send the oldest frames up to the first that must still wait; a session that has ended sends nothing."""
        while self._outgoing and self._outgoing[0].ready:
            frame = self._outgoing.popleft().frame
            if self.open:
                for data in encode_within_limit(frame):
                    self.peer.send(data)

    def end(self) -> None:
        """Send nothing more: the connection is gone, or about to be closed."""
        self.open = False
        self._outgoing.clear()

    def close(self, reason: str) -> None:
        if self.open:
            self.end()
            self.peer.close(reason)
