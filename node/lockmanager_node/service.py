"""The single owner of the lock table: stamps `now`, applies requests in order, and delivers the answers.

Sessions and HTTP requests hand their requests in here; everything that is to be said in one event-loop tick
leaves in one flush, one frame per session, after the journal was given what changed. No rule is decided here and no
byte is parsed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from lockmanager.clock import Clock
from lockmanager.durations import MICROSECONDS, seconds
from lockmanager.wire import Acquire, State, Yield

from .journal import Journal, MemoryJournal
from .line import Key, Owner
from .lock import Event, Lease
from .records import Adoption
from .recovery import SERVING, Readiness
from .sessions import Peer, Recipient, Session, SessionTaken
from .silence import SilenceWatch
from .table import Outbox, Request, Table

log = logging.getLogger("lockmanager_node")

_QUEUING: Final = (Acquire, Yield)

DURABLE_DEADLINE: Final = 10.0
"""Seconds an HTTP answer may wait for the journal."""


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


class Service:
    """Owns the table, the sessions and the one timer of a node. Runs in one event loop; needs no locks."""

    def __init__(self, table: Table, clock: Clock, *, journal: Journal | None = None) -> None:
        self.table = table
        self._readiness: Callable[[], Readiness] = lambda: SERVING
        self._clock = clock
        self._journal = journal or MemoryJournal()
        self._recipients: dict[Owner, Recipient] = {}
        self._dirty: list[Session] = []
        self._flush_due = False
        self._drained = asyncio.Event()
        self._silence = SilenceWatch(table.shortest_waiting_ttl)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._stopped = False
        self._failed = False
        self._awaited: set[asyncio.Event] = set()

    @property
    def readiness(self) -> Readiness:
        """Whether this node may grant by now, and if not, why."""
        return self._readiness()

    @readiness.setter
    def readiness(self, readiness: Readiness) -> None:
        self._readiness = lambda: readiness

    @property
    def ready(self) -> bool:
        """Whether this node grants."""
        return not self._stopped and self.readiness.state is State.SERVING

    def now(self) -> int:
        """Return the node's clock, in microseconds."""
        return self._clock.now()

    def next_ticket(self) -> int:
        """Number a request that came without a ticket (HTTP) as a coordinator would: after all seen, if not too far."""
        wall, after = self._clock.wall(), self.table.largest_ticket + 1
        return after if wall < after <= wall + self.table.limits.ticket_ahead else wall

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
        session.end()
        if self._recipients.get(session.peer.owner) is session:
            self._silence.forget(session.peer.owner)
            self.unregister(session.peer.owner)

    def heard(self, owner: Owner) -> None:
        """Note a sign of life of a session."""
        self._silence.heard(owner, self._clock.now())

    def wants_flush(self, session: Session) -> None:
        """Send what the session has to say at the end of this tick."""
        self._dirty.append(session)
        self._flush_soon()

    # Requests

    def register(self, owner: Owner, recipient: Recipient) -> None:
        """Let answers for `owner` go to `recipient`."""
        self._recipients[owner] = recipient

    def unregister(self, owner: Owner) -> None:
        """Deliver to `owner` no longer, and take it out of every line."""
        self._recipients.pop(owner, None)
        if not self._stopped:
            self._act(self.table.end_session(owner, self._clock.now()))

    def handle(self, owner: Owner, request: Request) -> None:
        """Decide one request now; the answers are delivered before this returns. A node that stops decides nothing."""
        self.handle_all(owner, (request,))

    def handle_all(self, owner: Owner, requests: Iterable[Request]) -> None:
        """Decide requests that came together, in their order and as of one instant."""
        if self._stopped:
            return
        now, wall = self._clock.now(), self._clock.wall()
        handle, waiting_ttl, deliver = self.table.handle, self.table.waiting_ttl, self._deliver
        for request in requests:
            outbox = handle(owner, request, now, wall)
            if isinstance(request, _QUEUING) and (ttl := waiting_ttl(request.token)) is not None:
                self._silence.waits(owner, ttl, now)
            deliver(outbox)
        self._follow_up()

    def revoke(self, key: Key, *, force: bool) -> int:
        """End the leases of a lock for an operator; returns how many there were."""
        count, outbox = self.table.revoke(key, self._clock.now(), force=force)
        log.warning("lock_revoked space=%s name=%r force=%s leases=%d", key[0].name.lower(), key[1], force, count)
        self._act(outbox)
        return count

    def expire(self) -> None:
        """Do what is due, so that a reader of the table sees no lease past its deadline."""
        if self._stopped:
            return
        now = self._clock.now()
        self._act(self.table.expire(now))
        for owner in self._silence.overdue(now):
            self._drop_silent(owner)

    # Life

    def start(self) -> None:
        """Take up what the journal knew: wake up at its deadlines, and write at once what a new boot changed."""
        self._write()
        self._act([])

    def be_silent(self, readiness: Callable[[], Readiness]) -> None:
        """Grant nothing and deny nothing until `serve`; `readiness` says why."""
        self.table.silent = True
        self._readiness = readiness

    def serve(self, adoptions: Iterable[Adoption], fence_floor: int) -> None:
        """End the silence of a node that may have forgotten grants; what it adopts is written at once."""
        outbox = self.table.serve(adoptions, fence_floor, self._clock.now())
        self._write()
        self._act(outbox)
        self.readiness = SERVING

    def stop(self, reason: str = "this node is stopping") -> None:
        """Grant no more; when what was decided is durable, send every session elsewhere and close it. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._end_of_tick()
        self._journal.sync(lambda: self._close_all(reason))

    def fail(self, reason: str) -> None:
        """Close everything at once: what waits for the journal will never be said."""
        self._stopped = self._failed = True
        if self._timer is not None:
            self._timer.cancel()
        self._close_all(reason)
        for synced in self._awaited:
            synced.set()

    def _close_all(self, reason: str) -> None:
        for recipient in list(self._recipients.values()):
            recipient.close(reason)
        self._recipients.clear()
        self._drained.set()

    async def drained(self, timeout: float) -> None:
        """Wait until a stop has closed everything; after `timeout` seconds it is closed as it is."""
        try:
            async with asyncio.timeout(timeout):
                await self._drained.wait()
        except TimeoutError:
            self._close_all("this node is stopping, and its journal is slow")

    # Delivery

    def _act(self, outbox: Outbox) -> None:
        """Deliver what was decided, let the journal have what changed, and wake up for what is due next."""
        self._deliver(outbox)
        self._follow_up()

    def _deliver(self, outbox: Outbox) -> None:
        for owner, answer in outbox:
            recipient = self._recipients.get(owner)
            if recipient is not None:
                recipient.deliver(answer)

    def _follow_up(self) -> None:
        if self.table.changed:
            self._flush_soon()
        self._arm()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._end_of_tick)

    def _end_of_tick(self) -> None:
        """Cut the frames before the journal syncs: what is decided during the commit waits for the next one."""
        self._flush_due = False
        self._write()
        dirty, self._dirty = self._dirty, []
        for session in dirty:
            session.flush(self.table.largest_ticket)

    def _write(self) -> None:
        if self.table.changed:
            self._journal.write(self.table.take_changes())

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` when everything decided so far is durable."""
        self._write()
        self._journal.sync(then)

    async def durable(self) -> bool:
        """Wait until everything decided so far is durable; False when the journal failed or takes too long."""
        if not (self.table.changed or self._journal.busy):
            return True
        synced = asyncio.Event()
        self.when_durable(synced.set)
        self._awaited.add(synced)
        try:
            async with asyncio.timeout(DURABLE_DEADLINE):
                await synced.wait()
        except TimeoutError:
            return False
        finally:
            self._awaited.discard(synced)
        return not self._failed

    def _drop_silent(self, owner: Owner) -> None:
        recipient = self._recipients.get(owner)
        if isinstance(recipient, Session):
            log.info("session_silent label=%r", recipient.peer.label)
            recipient.close("silent for three heartbeats")
            self.disconnect(recipient)

    # The one timer

    def _arm(self) -> None:
        """Wake up at the next deadline; waking early is harmless, so an armed earlier timer stays."""
        deadlines = [at for at in (self.table.wake_at(), self._silence.next_deadline()) if at is not None]
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
