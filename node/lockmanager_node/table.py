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

from collections.abc import Iterable

from lockmanager.wire import (
    Acquire,
    Answer,
    Granted,
    Inquire,
    Lost,
    Queued,
    Raise,
    Raised,
    Recovering,
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
    token_digest,
)

from .books import IDLE_BEFORE_FORGOTTEN, Books
from .limits import Excess, check_acquire, check_fence, check_ttl
from .line import Key, Owner, Waiter
from .lock import Adopted, Event, Lease, Lock
from .records import Adoption

Request = Acquire | Yield | Raise | Renew | Release
Outbox = list[tuple[Owner, Answer]]
"""What to tell whom, in order."""


class Table(Books):
    """All locks of one node. One owner calls it, one request at a time, with a `now` that never goes back.

    `silent` is a node that may have forgotten grants: it grants nothing and denies nothing, until `serve`.
    """

    silent = False

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
                self._raise(owner, request, wall, outbox)
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
        leases = lock.all_leases if lock is not None else []
        for lease in leases:
            lease.revoked = True
            self._note_change(lease)
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
                    self._forget_revoked(due)
        return outbox

    def serve(self, adoptions: Iterable[Adoption], fence_floor: int, now: int) -> Outbox:
        """End the silence: let what other nodes told stand for its full ttl, and grant what can be granted.

        Every fence from now on exceeds `fence_floor`. A lease that was released here in the meantime is over: nobody
        would release it again.
        """
        outbox = self.expire(now)
        self._lift_floor(fence_floor)
        released = set(self._released_in_silence)
        self._released_in_silence.clear()
        for adoption in adoptions:
            if adoption.digest not in released:
                self._adopt(adoption, now)
        self.silent = False
        for lock in self._locks.values():
            self._settle(lock, now, outbox)
            holders = lock.holders()
            outbox += [(waiter.owner, Queued(waiter.token, holders)) for waiter in (lock.line if lock.waiting else ())]
        return outbox

    # Rules

    def _acquire(self, owner: Owner, request: Acquire, now: int, wall: int, outbox: Outbox) -> None:
        token = request.token
        adopted = self._adopted_by(token)
        if self._is_revoked(token) or (adopted is not None and adopted.revoked):
            outbox.append((owner, Revoked(token)))
        elif (known := self._find(token)) is not None:
            self._acquire_again(owner, known, request, now, outbox)
        elif (excess := check_acquire(request, self.limits, wall) or self._crowded(owner, request)) is not None:
            outbox.append((owner, Rejected(token, excess.code, excess.detail)))
        else:
            self._acquire_anew(owner, request, now, outbox)

    def _acquire_anew(self, owner: Owner, request: Acquire, now: int, outbox: Outbox) -> None:
        key = (request.space, request.name)
        if request.ticket > self.largest_ticket:
            self.largest_ticket = request.ticket
        label, ttl = self._one(request.label), self._one(request.ttl)
        lock = self._lock(key)
        waiter = Waiter(request.token, lock.key, owner, label, request.ticket, ttl, request.mode)
        if lock.idle and not self.silent:
            self._grant(lock, waiter, now, outbox)
            return
        self._join_line(lock, waiter)
        self._grant_while_possible(lock, now, outbox)
        if waiter.token in self._waiters:
            self._answer_waiter(lock, waiter, outbox, wait=request.wait)
        if request.wait:
            self._inquire(lock, outbox)
        else:
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
        if not wait:
            self._leave_line(waiter)
        if self.silent:
            outbox.append((waiter.owner, Recovering(waiter.token)))
        else:
            outbox.append((waiter.owner, (Queued if wait else Refused)(waiter.token, lock.holders())))

    def _crowded(self, owner: Owner, request: Acquire) -> Excess | None:
        if len(self._leases) + len(self._waiters) >= self.limits.leases:
            return Excess("leases", f"this node holds {self.limits.leases} leases and waiters, its limit: try later")
        lock = self._locks.get((request.space, request.name))
        if request.wait and lock is not None and lock.waiting >= self.limits.waiters:
            return Excess("waiters", f"{self.limits.waiters} wait for this lock already, the limit: try later")
        if request.wait and len(self._waiting.get(owner, ())) >= self.limits.waiters:
            return Excess("waiters", f"this session has {self.limits.waiters} waiters already, the limit: try later")
        return None

    def _release(self, owner: Owner, token: Token, now: int, outbox: Outbox) -> None:
        if self.silent:
            self._released_in_silence.append(token_digest(token))
        key = self.key_of(token)
        if token in self._waiters:
            self._leave_line(self._waiters[token])
        lease, adopted = self._leases.get(token), self._adopted_by(token)
        if lease is not None:
            self._drop_lease(lease, Event.RELEASED)
        if adopted is not None:
            self._drop_lease(adopted, Event.RELEASED)
        if key is not None:
            self._settle(self._locks[key], now, outbox)
        outbox.append((owner, Released(token)))

    def _renew(self, owner: Owner, request: Renew, now: int, outbox: Outbox) -> None:
        token = request.token
        lease = self._standing(token)
        if self._is_revoked(token) or (lease is not None and lease.revoked):
            outbox.append((owner, Revoked(token)))
        elif (excess := check_ttl(request.ttl, self.limits)) is not None:
            outbox.append((owner, Rejected(token, excess.code, excess.detail)))
        elif lease is None:
            self._lost_unless_known(owner, token, outbox)
        else:
            lease.waiter.owner, lease.waiter.token = owner, token
            lease.full_ttl = max(lease.full_ttl, request.ttl)
            self._keep_until(lease, now + request.ttl)
            outbox.append((owner, Renewed(token, request.ttl)))

    def _yield(self, owner: Owner, request: Yield, now: int, outbox: Outbox) -> None:
        lease = self._standing(request.token)
        if lease is None:
            self._lost_unless_known(owner, request.token, outbox)
        elif lease.revoked:
            outbox.append((owner, Revoked(request.token)))
        elif lease.grant_id == request.grant_id and not isinstance(lease, Adopted):
            lock = self._locks[lease.waiter.key]
            self._drop_lease(lease, Event.YIELDED)
            lease.waiter.owner = owner
            self._join_line(lock, lease.waiter)
            self._settle(lock, now, outbox)

    def _raise(self, owner: Owner, request: Raise, wall: int, outbox: Outbox) -> None:
        lease = self._standing(request.token)
        if lease is None:
            self._lost_unless_known(owner, request.token, outbox)
        elif lease.revoked:
            outbox.append((owner, Revoked(request.token)))
        elif (excess := check_fence(request.fence, self.limits, wall)) is not None:
            outbox.append((owner, Rejected(request.token, excess.code, excess.detail)))
        else:
            lease.fence = max(lease.fence, request.fence)
            self._note_change(lease)
            self._note_fence(self._locks[lease.waiter.key], lease)
            outbox.append((owner, Raised(request.token, lease.fence)))

    def _standing(self, token: Token) -> Lease | None:
        """Return the lease a token speaks for: one that was adopted too, whether its owner stands in line or not."""
        return self._leases.get(token) or self._adopted_by(token)

    def _lost_unless_known(self, owner: Owner, token: Token, outbox: Outbox) -> None:
        if self._is_revoked(token):
            outbox.append((owner, Revoked(token)))
        elif token not in self._waiters:
            outbox.append((owner, Recovering(token) if self.silent else Lost(token)))

    def _end_by_force(self, lock: Lock, leases: list[Lease], now: int, outbox: Outbox) -> None:
        for lease in leases:
            self._drop_lease(lease, Event.REVOKED)
            self._remember_revoked(lease)
        for waiter in [waiter for waiter in (lock.line if lock.waiting else ()) if self._is_revoked(waiter.token)]:
            self._leave_line(waiter)  # it stood behind what was adopted of it
            outbox.append((waiter.owner, Revoked(waiter.token)))
        self._pass_all_fences(lock)
        self._settle(lock, now, outbox)

    # Steps the rules share

    def _settle(self, lock: Lock, now: int, outbox: Outbox) -> None:
        """Bring the lock to rest: grant what can be granted, inquire, and note when it went idle."""
        if lock.waiting:
            self._grant_while_possible(lock, now, outbox)
        self._inquire(lock, outbox)
        if lock.idle:
            lock.idle_since = now
            if lock not in self._deadlines:
                self._deadlines.set(lock, now + IDLE_BEFORE_FORGOTTEN)

    def _inquire(self, lock: Lock, outbox: Outbox) -> None:
        if self._inquires_in(lock):
            for lease in lock.inquiries():
                outbox.append((lease.waiter.owner, Inquire(lease.waiter.token, lease.grant_id)))

    def _grant_while_possible(self, lock: Lock, now: int, outbox: Outbox) -> None:
        while not self.silent and (waiter := lock.next_to_grant()) is not None:
            self._leave_line(waiter)
            self._grant(lock, waiter, now, outbox)

    def _grant(self, lock: Lock, waiter: Waiter, now: int, outbox: Outbox) -> None:
        lease = Lease(waiter, self._incarnation, self._next_number(), lock.fence_for(waiter), now + waiter.ttl)
        self._take_over(lock, lease)
        self._add_lease(lock, lease)
        outbox.append((waiter.owner, self._granted(lease, resent=False)))
        if lease.revoked:
            outbox.append((waiter.owner, Revoked(waiter.token)))
        self._tell(Event.GRANTED, lease)

    def _granted(self, lease: Lease, *, resent: bool) -> Granted:
        return Granted(lease.waiter.token, lease.grant_id, lease.fence, lease.waiter.ttl, resent)

    def _inquires_in(self, lock: Lock) -> bool:
        """HTTP has no push, so the node's own space is never inquired."""
        return lock.key[0] is not Space.NODE
