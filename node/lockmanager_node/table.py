"""The lock table: who holds what, who waits, and what each request changes. Pure; `now` is an argument.

Every request is answered with messages for their owners: the one who asked, and whoever is granted, inquired or
told by the way. Rules, in the order a lock goes through them:

- an acquire takes its place in the line; the head is granted while it is compatible with the leases;
- a waiter that came before a holder makes the node inquire; a holder that yields stands in line again;
- a lease ends by release, by its deadline or by an operator's revoke, and the head follows in the same step;
- a name nobody used for a minute is forgotten: its fences fold into the floor of all fences.

What must not come in: clocks, sockets, files, randomness, logging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import (
    Acquire,
    Answer,
    Granted,
    Inquire,
    Lost,
    Queued,
    Raise,
    Raised,
    Refused,
    Rejected,
    Release,
    Released,
    Renew,
    Renewed,
    Revoked,
    Space,
    Token,
    Yield,
)

from .deadlines import DeadlineQueue
from .limits import Excess, Limits, check_acquire, check_fence, check_ttl
from .line import Key, Owner, Waiter
from .lock import Event, Lease, Lock

IDLE_BEFORE_FORGOTTEN: Final = 60 * MICROSECONDS

Request = Acquire | Yield | Raise | Renew | Release
Outbox = list[tuple[Owner, Answer]]
"""What to tell whom, in order."""


@dataclass(slots=True, eq=False)
class _Revocation:
    """A token whose lease was ended by force, remembered until its ttl has passed."""

    token: Token = field(repr=False)


class Table:
    """All locks of one node. One owner calls it, one request at a time, with a `now` that never goes back."""

    def __init__(
        self,
        incarnation: int,
        limits: Limits | None = None,
        fence_floor: int = 0,
        tell: Callable[[Event, Lease], None] = lambda _event, _lease: None,
    ) -> None:
        self._tell = tell
        self.limits = limits or Limits()
        self.fence_floor = fence_floor
        self.largest_ticket = fence_floor
        self._incarnation = incarnation
        self._grants = 0
        self._locks: dict[Key, Lock] = {}
        self._leases: dict[Token, Lease] = {}
        self._waiters: dict[Token, Waiter] = {}
        self._waiting: dict[Owner, set[Waiter]] = {}
        self._revoked: dict[Token, _Revocation] = {}
        self._deadlines: DeadlineQueue[Lease | Lock | _Revocation] = DeadlineQueue()

    # Questions

    @property
    def locks(self) -> dict[Key, Lock]:
        """The locks by key, to read."""
        return self._locks

    @property
    def lease_count(self) -> int:
        """How many leases stand."""
        return len(self._leases)

    @property
    def waiter_count(self) -> int:
        """How many waiters stand in all lines."""
        return len(self._waiters)

    def lease(self, token: Token) -> Lease | None:
        """Return the lease this token owns."""
        return self._leases.get(token)

    def key_of(self, token: Token) -> Key | None:
        """Return the lock this token holds or waits for."""
        known = self._find(token)
        return known.key if known is not None else None

    def waiting_ttl(self, token: Token) -> int | None:
        """Return the ttl this token waits for, or None when it does not stand in a line."""
        waiter = self._waiters.get(token)
        return waiter.ttl if waiter is not None else None

    def shortest_waiting_ttl(self, owner: Owner) -> int | None:
        """Return the shortest ttl among the owner's waiters, or None when it waits for nothing."""
        waiting = self._waiting.get(owner)
        return min(waiter.ttl for waiter in waiting) if waiting else None

    def next_deadline(self) -> int | None:
        """Return when `expire` has something to do next."""
        return self._deadlines.next()

    # Requests

    def handle(self, owner: Owner, request: Request, now: int, wall: int) -> Outbox:
        """Decide one request; whatever was due before it is expired first."""
        outbox = self.expire(now)
        match request:
            case Acquire():
                self._acquire(owner, request, now, wall, outbox)
            case Release():
                self._release(owner, request.token, now, outbox)
            case Renew():
                self._renew(owner, request, now, outbox)
            case Yield():
                self._yield(owner, request, now, outbox)
            case _:
                self._raise(owner, request, outbox)
        return outbox

    def end_session(self, owner: Owner, now: int) -> Outbox:
        """Take the owner's waiters out of every line at once; its leases stay until their deadlines.

        They leave before anything due is expired: a lease that ends now must not be granted to one who has gone.
        """
        gone = sorted(self._waiting.get(owner, ()), key=lambda waiter: waiter.place)
        for waiter in gone:
            self._leave_line(waiter)
        outbox = self.expire(now)
        for waiter in gone:
            self._settle(self._locks[waiter.key], now, outbox)
        return outbox

    def revoke(self, key: Key, now: int, *, force: bool) -> tuple[int, Outbox]:
        """End the leases of a lock for an operator; returns how many, and whom to tell.

        Without `force` the holders can renew no more and exclusion is kept until they release or their ttl ends.
        With it the leases end at once: exclusion is broken for up to the old ttl, and only the fence protects.
        """
        outbox = self.expire(now)
        lock = self._locks.get(key)
        leases = list(lock.leases.values()) if lock is not None else []
        for lease in leases:
            lease.revoked = True
            outbox.append((lease.waiter.owner, Revoked(lease.waiter.token)))
        if force and lock is not None and leases:
            self._end_by_force(lock, leases, now, outbox)
        return len(leases), outbox

    def expire(self, now: int) -> Outbox:
        """Do everything that is due at `now`."""
        outbox: Outbox = []
        while (due := self._deadlines.pop_due(now)) is not None:
            match due:
                case Lease():
                    self._drop_lease(due, Event.EXPIRED)
                    self._settle(self._locks[due.waiter.key], now, outbox)
                case Lock():
                    self._forget_if_idle(due, now)
                case _:
                    del self._revoked[due.token]
        return outbox

    # Rules

    def _acquire(self, owner: Owner, request: Acquire, now: int, wall: int, outbox: Outbox) -> None:
        token = request.token
        if token in self._revoked:
            outbox.append((owner, Revoked(token)))
        elif (known := self._find(token)) is not None:
            self._acquire_again(owner, known, request, now, outbox)
        elif (excess := check_acquire(request, self.limits, wall) or self._crowded(owner, request)) is not None:
            outbox.append((owner, Rejected(token, excess.code, excess.detail)))
        else:
            self._acquire_anew(owner, request, now, outbox)

    def _acquire_anew(self, owner: Owner, request: Acquire, now: int, outbox: Outbox) -> None:
        key = (request.space, request.name)
        self.largest_ticket = max(self.largest_ticket, request.ticket)
        waiter = Waiter(request.token, key, owner, request.label, request.ticket, request.ttl, request.mode)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = Lock(key, self.fence_floor)
        self._join_line(lock, waiter)
        self._grant_while_possible(lock, now, outbox)
        if waiter.token in self._waiters:
            self._answer_waiter(lock, waiter, outbox, wait=request.wait)
        self._settle(lock, now, outbox)

    def _acquire_again(self, owner: Owner, known: Waiter, request: Acquire, now: int, outbox: Outbox) -> None:
        """Answer a repeated acquire: the token's place or grant is what it was, the owner is who asks now."""
        if (known.key, known.mode) != ((request.space, request.name), request.mode):
            detail = "this token already stands for another lock or mode: make a new one for every acquisition"
            outbox.append((owner, Rejected(known.token, "token", detail)))
            return
        self._address_to(known, owner)
        lock = self._locks[known.key]
        lease = self._leases.get(known.token)
        if lease is None:
            self._answer_waiter(lock, known, outbox, wait=request.wait)
            self._settle(lock, now, outbox)
        elif lease.revoked:
            outbox.append((owner, Revoked(known.token)))
        else:
            outbox.append((owner, self._granted(lease, resent=True)))
            if self._inquires_in(lock) and lock.inquires_again(lease):
                outbox.append((owner, Inquire(known.token, lease.grant_id)))

    def _answer_waiter(self, lock: Lock, waiter: Waiter, outbox: Outbox, *, wait: bool) -> None:
        holders = lock.holders()
        if wait:
            outbox.append((waiter.owner, Queued(waiter.token, holders)))
        else:
            self._leave_line(waiter)
            outbox.append((waiter.owner, Refused(waiter.token, holders)))

    def _crowded(self, owner: Owner, request: Acquire) -> Excess | None:
        if len(self._leases) + len(self._waiters) >= self.limits.leases:
            return Excess("leases", f"this node holds {self.limits.leases} leases and waiters, its limit: try later")
        lock = self._locks.get((request.space, request.name))
        if request.wait and lock is not None and len(lock.line) >= self.limits.waiters:
            return Excess("waiters", f"{self.limits.waiters} wait for this lock already, the limit: try later")
        if request.wait and len(self._waiting.get(owner, ())) >= self.limits.waiters:
            return Excess("waiters", f"this session has {self.limits.waiters} waiters already, the limit: try later")
        return None

    def _release(self, owner: Owner, token: Token, now: int, outbox: Outbox) -> None:
        if (lease := self._leases.get(token)) is not None:
            self._drop_lease(lease, Event.RELEASED)
            self._settle(self._locks[lease.waiter.key], now, outbox)
        elif (waiter := self._waiters.get(token)) is not None:
            self._leave_line(waiter)
            self._settle(self._locks[waiter.key], now, outbox)
        outbox.append((owner, Released(token)))

    def _renew(self, owner: Owner, request: Renew, now: int, outbox: Outbox) -> None:
        token = request.token
        lease = self._leases.get(token)
        if token in self._revoked or (lease is not None and lease.revoked):
            outbox.append((owner, Revoked(token)))
        elif (excess := check_ttl(request.ttl, self.limits)) is not None:
            outbox.append((owner, Rejected(token, excess.code, excess.detail)))
        elif lease is not None:
            lease.deadline = max(lease.deadline, now + request.ttl)
            self._deadlines.set(lease, lease.deadline)
            outbox.append((owner, Renewed(token, request.ttl)))
        elif token not in self._waiters:
            outbox.append((owner, Lost(token)))

    def _yield(self, owner: Owner, request: Yield, now: int, outbox: Outbox) -> None:
        lease = self._leases.get(request.token)
        if lease is None:
            self._lost_unless_known(owner, request.token, outbox)
        elif lease.revoked:
            outbox.append((owner, Revoked(request.token)))
        elif lease.grant_id == request.grant_id:
            lock = self._locks[lease.waiter.key]
            self._drop_lease(lease, Event.YIELDED)
            lease.waiter.owner = owner
            self._join_line(lock, lease.waiter)
            self._settle(lock, now, outbox)

    def _raise(self, owner: Owner, request: Raise, outbox: Outbox) -> None:
        lease = self._leases.get(request.token)
        if lease is None:
            self._lost_unless_known(owner, request.token, outbox)
        elif lease.revoked:
            outbox.append((owner, Revoked(request.token)))
        elif (excess := check_fence(request.fence)) is not None:
            outbox.append((owner, Rejected(request.token, excess.code, excess.detail)))
        else:
            lease.fence = max(lease.fence, request.fence)
            self._note_fence(self._locks[lease.waiter.key], lease)
            outbox.append((owner, Raised(request.token, lease.fence)))

    def _lost_unless_known(self, owner: Owner, token: Token, outbox: Outbox) -> None:
        if token in self._revoked:
            outbox.append((owner, Revoked(token)))
        elif token not in self._waiters:
            outbox.append((owner, Lost(token)))

    def _end_by_force(self, lock: Lock, leases: list[Lease], now: int, outbox: Outbox) -> None:
        for lease in leases:
            revocation = self._revoked[lease.waiter.token] = _Revocation(lease.waiter.token)
            self._deadlines.set(revocation, lease.deadline)
            self._drop_lease(lease, Event.REVOKED)
        lock.pass_all_fences()
        self.largest_ticket = max(self.largest_ticket, lock.last_fence)
        self._settle(lock, now, outbox)

    # Steps the rules share

    def _settle(self, lock: Lock, now: int, outbox: Outbox) -> None:
        """Bring the lock to rest: grant what can be granted, inquire, and note when it went idle."""
        self._grant_while_possible(lock, now, outbox)
        if self._inquires_in(lock):
            for lease in lock.inquiries():
                outbox.append((lease.waiter.owner, Inquire(lease.waiter.token, lease.grant_id)))
        if lock.idle:
            lock.idle_since = now
            if lock not in self._deadlines:
                self._deadlines.set(lock, now + IDLE_BEFORE_FORGOTTEN)

    def _grant_while_possible(self, lock: Lock, now: int, outbox: Outbox) -> None:
        while (waiter := lock.next_to_grant()) is not None:
            self._leave_line(waiter)
            self._grants += 1
            grant_id = (self._incarnation, self._grants)
            lease = Lease(waiter, grant_id, lock.fence_for(waiter), now + waiter.ttl)
            lock.leases[waiter.token] = self._leases[waiter.token] = lease
            self._deadlines.set(lease, lease.deadline)
            self._note_fence(lock, lease)
            outbox.append((waiter.owner, self._granted(lease, resent=False)))
            self._tell(Event.GRANTED, lease)

    def _granted(self, lease: Lease, *, resent: bool) -> Granted:
        return Granted(lease.waiter.token, lease.grant_id, lease.fence, lease.waiter.ttl, resent)

    def _note_fence(self, lock: Lock, lease: Lease) -> None:
        lock.note_fence(lease.waiter.mode, lease.fence)
        self.largest_ticket = max(self.largest_ticket, lease.fence)

    def _inquires_in(self, lock: Lock) -> bool:
        """HTTP has no push, so the node's own space is never inquired."""
        return lock.key[0] is not Space.NODE

    def _forget_if_idle(self, lock: Lock, now: int) -> None:
        if not lock.idle:
            return
        if lock.idle_since + IDLE_BEFORE_FORGOTTEN > now:
            self._deadlines.set(lock, lock.idle_since + IDLE_BEFORE_FORGOTTEN)
            return
        self.fence_floor = max(self.fence_floor, lock.last_fence)
        del self._locks[lock.key]

    def _find(self, token: Token) -> Waiter | None:
        lease = self._leases.get(token)
        return lease.waiter if lease is not None else self._waiters.get(token)

    def _join_line(self, lock: Lock, waiter: Waiter) -> None:
        lock.line.add(waiter)
        self._waiters[waiter.token] = waiter
        self._waiting.setdefault(waiter.owner, set()).add(waiter)

    def _leave_line(self, waiter: Waiter) -> None:
        self._locks[waiter.key].line.remove(waiter)
        del self._waiters[waiter.token]
        self._not_waiting(waiter)

    def _not_waiting(self, waiter: Waiter) -> None:
        waiting = self._waiting[waiter.owner]
        waiting.discard(waiter)
        if not waiting:
            del self._waiting[waiter.owner]

    def _address_to(self, waiter: Waiter, owner: Owner) -> None:
        if waiter.owner != owner and waiter.token in self._waiters:
            self._not_waiting(waiter)
            self._waiting.setdefault(owner, set()).add(waiter)
        waiter.owner = owner

    def _drop_lease(self, lease: Lease, event: Event) -> None:
        self._tell(event, lease)
        self._deadlines.discard(lease)
        del self._leases[lease.waiter.token]
        del self._locks[lease.waiter.key].leases[lease.waiter.token]
