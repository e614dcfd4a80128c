"""The single owner of the lock table: stamps `now`, applies requests in order, and delivers the answers.

Sessions and HTTP requests hand their requests in here; everything that is to be said in one event-loop tick
leaves in one flush, one frame per session. No rule is decided here and no byte is parsed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lockmanager.clock import Clock
from lockmanager.durations import MICROSECONDS, seconds
from lockmanager.wire import (
    Acquire,
    Answer,
    DownFrame,
    DownMessage,
    Hello,
    Rejected,
    State,
    UpFrame,
    Yield,
    encode_within_limit,
)

from .journal import Journal, MemoryJournal
from .limits import check_session_space
from .line import Key, Owner
from .lock import Event, Lease
from .recovery import SERVING, Readiness
from .silence import SilenceWatch
from .table import Outbox, Request, Table

log = logging.getLogger("lockmanager_node")


def log_event(event: Event, lease: Lease) -> None:
    """Write one line per change of a lease, at info; never the token."""
    if log.isEnabledFor(logging.INFO):
        space, name = lease.waiter.key
        log.info(
            "lease_%s space=%s name=%r fence=%d ttl=%g label=%r",
            event,
            space.name.lower(),
            name,
            lease.fence,
            seconds(lease.waiter.ttl),
            lease.waiter.label,
        )


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


class Session:
    """One coordinator's connection as the service sees it: an outbox and the echo anchor of what is in it."""

    def __init__(self, service: Service, peer: Peer, sent: int) -> None:
        self.peer = peer
        self.open = True
        self._service = service
        self._sent = sent
        self._echo: int | None = None
        self._outbox: list[DownMessage] = []

    def receive(self, frame: UpFrame) -> None:
        """Apply one frame of requests; its `sent` anchors every decision made for this session from now on."""
        if not self.open:
            return
        self._sent = frame.sent
        self._service.heard(self.peer.owner)
        for request in frame.messages:
            if isinstance(request, Hello):
                self.close("a second hello in one session")
                return
            self._apply(request)
        self._anchor()

    def _apply(self, request: Request) -> None:
        excess = check_session_space(request.space) if isinstance(request, Acquire) else None
        if excess is not None:
            self.deliver(Rejected(request.token, excess.code, excess.detail))
        else:
            self._service.handle(self.peer.owner, request)

    def deliver(self, answer: Answer) -> None:
        self._outbox.append(answer)
        self._anchor()

    def _anchor(self) -> None:
        """Let the next frame rest on the newest `sent`, unless something older already waits in it."""
        if self._echo is None:
            self._echo = self._sent
            self._service.wants_flush(self)

    def cut_frame(self, largest_ticket: int) -> DownFrame | None:
        """Take everything that waits as one frame; an empty one answers a heartbeat."""
        if self._echo is None:
            return None
        frame = DownFrame(self._echo, largest_ticket, self._outbox)
        self._outbox, self._echo = [], None
        return frame

    def send(self, frame: DownFrame) -> None:
        """Send a frame, unless the session has ended meanwhile."""
        if self.open:
            for data in encode_within_limit(frame):
                self.peer.send(data)

    def close(self, reason: str) -> None:
        if self.open:
            self.open = False
            self.peer.close(reason)


def _send_all(cut: list[tuple[Session, DownFrame | None]]) -> None:
    for session, frame in cut:
        if frame is not None:
            session.send(frame)


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a session: who it is, and how to send to it and close it without waiting."""

    owner: Owner = field(repr=False)
    label: str
    key_id: str | None
    send: Callable[[bytes], None]
    close: Callable[[str], None]


class Service:
    """Owns the table, the sessions and the one timer of a node. Runs in one event loop; needs no locks."""

    def __init__(self, table: Table, clock: Clock, *, journal: Journal | None = None) -> None:
        self.table = table
        self.readiness: Readiness = SERVING
        self._clock = clock
        self._journal = journal or MemoryJournal()
        self._recipients: dict[Owner, Recipient] = {}
        self._dirty: list[Session] = []
        self._silence = SilenceWatch(table.shortest_waiting_ttl)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether this node grants."""
        return not self._stopped and self.readiness.state is State.SERVING

    def now(self) -> int:
        """Return the node's clock, in microseconds."""
        return self._clock.now()

    def next_ticket(self) -> int:
        """Number a request that came without a ticket (HTTP) as a coordinator would."""
        return max(self._clock.wall(), self.table.largest_ticket + 1)

    # Sessions

    def connect(self, peer: Peer, sent: int) -> Session:
        """Open a session; one that is open under the same id is closed and its unread bytes are dropped.

        Raises SessionTaken when a session opened with another key has this id.
        """
        before = self._recipients.get(peer.owner)
        if isinstance(before, Session):
            if before.peer.key_id != peer.key_id:
                raise SessionTaken
            before.close("replaced by a new connection of the same session")
        session = self._recipients[peer.owner] = Session(self, peer, sent)
        self._silence.heard(peer.owner, self._clock.now())
        return session

    def disconnect(self, session: Session) -> None:
        """End a session whose connection is gone; harmless for one that was replaced or ended before."""
        session.open = False
        if self._recipients.get(session.peer.owner) is session:
            self._silence.forget(session.peer.owner)
            self.unregister(session.peer.owner)

    def heard(self, owner: Owner) -> None:
        """Note a sign of life of a session."""
        self._silence.heard(owner, self._clock.now())

    def wants_flush(self, session: Session) -> None:
        """Send what the session has to say at the end of this tick."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._end_of_tick)
        self._dirty.append(session)

    # Requests

    def register(self, owner: Owner, recipient: Recipient) -> None:
        """Let answers for `owner` go to `recipient`."""
        self._recipients[owner] = recipient

    def unregister(self, owner: Owner) -> None:
        """Deliver to `owner` no longer, and take it out of every line."""
        self._recipients.pop(owner, None)
        self._deliver(self.table.end_session(owner, self._clock.now()))
        self._arm()

    def handle(self, owner: Owner, request: Request) -> None:
        """Decide one request now; the answers are delivered before this returns."""
        now = self._clock.now()
        self._deliver(self.table.handle(owner, request, now, self._clock.wall()))
        if isinstance(request, Acquire | Yield) and (ttl := self.table.waiting_ttl(request.token)) is not None:
            self._silence.waits(owner, ttl, now)
        self._arm()

    def revoke(self, key: Key, *, force: bool) -> int:
        """End the leases of a lock for an operator; returns how many there were."""
        count, outbox = self.table.revoke(key, self._clock.now(), force=force)
        log.warning("lock_revoked space=%s name=%r force=%s leases=%d", key[0].name.lower(), key[1], force, count)
        self._deliver(outbox)
        self._arm()
        return count

    def expire(self) -> None:
        """Do what is due, so that a reader of the table sees no lease past its deadline."""
        now = self._clock.now()
        self._deliver(self.table.expire(now))
        for owner in self._silence.overdue(now):
            self._drop_silent(owner)

    def stop(self) -> None:
        """Grant no more, tell every session to go elsewhere, and close it. Idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._end_of_tick()
        for recipient in list(self._recipients.values()):
            recipient.close("this node is stopping")
        self._recipients.clear()

    # Delivery

    def _deliver(self, outbox: Outbox) -> None:
        for owner, answer in outbox:
            recipient = self._recipients.get(owner)
            if recipient is not None:
                recipient.deliver(answer)

    def _end_of_tick(self) -> None:
        """Cut the frames before the journal syncs: what is decided during the commit waits for the next one."""
        dirty, self._dirty = self._dirty, []
        cut = [(session, session.cut_frame(self.table.largest_ticket)) for session in dirty]
        self._journal.sync(lambda: _send_all(cut))

    def _drop_silent(self, owner: Owner) -> None:
        recipient = self._recipients.get(owner)
        if isinstance(recipient, Session):
            log.info("session_silent label=%r", recipient.peer.label)
            recipient.close("silent for three heartbeats")
            self.disconnect(recipient)

    # The one timer

    def _arm(self) -> None:
        """Wake up at the next deadline; waking early is harmless, so an armed earlier timer stays."""
        deadlines = [at for at in (self.table.next_deadline(), self._silence.next_deadline()) if at is not None]
        if not deadlines or self._stopped:
            return
        at = min(deadlines)
        if self._timer is not None and self._timer_at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0, at - self._clock.now()) / MICROSECONDS
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire()
        self._arm()
