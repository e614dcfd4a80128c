"""What a node's table knows, and the steps that keep its indexes in agreement. Decides nothing. Pure.

Every step that changes a lease also notes it for the journal: `take_changes` gives what became of each one since it
was asked last, so that whatever happens between two commits is written once, as it stands at the end.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Mode, Space, Token, token_digest

from .deadlines import DeadlineQueue
from .limits import Limits
from .line import Key, Owner, Waiter
from .lock import Adopted, Event, Lease, Lock
from .records import AdoptedRecord, Adoption, Changes, Kept, LeaseRecord, Numbered, Record, RevokedRecord

IDLE_BEFORE_FORGOTTEN: Final = 60 * MICROSECONDS

RELEASES_REMEMBERED: Final = 100_000
"""Releases a silent node remembers, the newest: of those before, other nodes have long known when they are asked."""

_COMMON_LIMIT: Final = 1_000
"""How many different labels and ttls are kept as one object each."""

_Common = TypeVar("_Common", str, int)

_NOBODY: Final[Owner] = ""
"""Whom a lease is addressed to whose owner has not spoken yet since this node started."""


@dataclass(slots=True, eq=False)
class Revocation:
    """A token whose lease was ended by force, remembered until its ttl has passed."""

    digest: str = field(repr=False)
    number: int
    deadline: int
    full_ttl: int


class Books:
    """All locks, leases, waiters and deadlines of one node."""

    def __init__(
        self,
        incarnation: int,
        limits: Limits | None = None,
        fence_floor: int = 0,
        tell: Callable[[Event, Lease], None] = lambda _event, _lease: None,
        *,
        journaled: bool = False,
    ) -> None:
        self._tell = tell
        self.limits = limits or Limits()
        self.fence_floor = self.largest_fence = self.largest_ticket = fence_floor
        self._incarnation = incarnation
        self._grants = 0
        self._locks: dict[Key, Lock] = {}
        self._leases: dict[Token, Lease] = {}
        self._adopted: dict[str, Adopted] = {}
        self._waiters: dict[Token, Waiter] = {}
        self._waiting: dict[Owner, set[Waiter]] = {}
        self._revoked: dict[str, Revocation] = {}
        self._released_in_silence: deque[str] = deque(maxlen=RELEASES_REMEMBERED)
        self._deadlines: DeadlineQueue[Lease | Lock | Revocation] = DeadlineQueue()
        self._journaled = journaled
        self._changed: dict[int, Lease | Revocation | None] = {}
        self._written_fence = 0
        self._common: dict[Any, Any] = {}

    # Questions

    @property
    def locks(self) -> dict[Key, Lock]:
        """The locks by key, to read."""
        return self._locks

    @property
    def lease_count(self) -> int:
        """How many leases stand."""
        return len(self._leases) + len(self._adopted)

    @property
    def waiter_count(self) -> int:
        """How many waiters stand in all lines."""
        return len(self._waiters)

    @property
    def last_number(self) -> int:
        """The number of the newest grant."""
        return self._grants

    @property
    def changed(self) -> bool:
        """Whether the journal has something to write."""
        return bool(self._changed) or (self._journaled and self.largest_fence > self._written_fence)

    def lease(self, token: Token) -> Lease | None:
        """Return the lease this token owns."""
        return self._leases.get(token) or self._adopted_by(token)

    def leases_after(self, number: int) -> Iterable[Lease]:
        """Give the leases in the order of their numbers, from the one after `number`."""
        if number >= self._grants:
            return ()
        # Each dictionary is in the order of its grants, and so of their numbers; to copy it costs less than to walk it.
        copies: tuple[list[Lease], ...] = (list(self._adopted.values()), list(self._leases.values()))
        later = (islice(leases, bisect_right(leases, number, key=_number), None) for leases in copies)
        return heapq.merge(*later, key=_number)

    def key_of(self, token: Token) -> Key | None:
        """Return the lock this token holds or waits for."""
        known = self._find(token)
        if known is None and (adopted := self._adopted_by(token)) is not None:
            known = adopted.waiter
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

    def wake_at(self) -> int | None:
        """Return when to look for what is due: at the next deadline or, cheaper to know, before it."""
        return self._deadlines.wake_at()

    def _find(self, token: Token) -> Waiter | None:
        lease = self._leases.get(token)
        return lease.waiter if lease is not None else self._waiters.get(token)

    def _adopted_by(self, token: Token) -> Adopted | None:
        return self._adopted.get(token_digest(token)) if self._adopted else None

    def _is_revoked(self, token: Token) -> bool:
        return bool(self._revoked) and token_digest(token) in self._revoked

    def _one(self, value: _Common) -> _Common:
        """Return the value as the object that stands for all its equals: labels and ttls are the same over and over."""
        if len(self._common) >= _COMMON_LIMIT:
            self._common.clear()
        one: _Common = self._common.setdefault(value, value)
        return one

    # Locks and fences

    def _lock(self, key: Key) -> Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = Lock(key, self.fence_floor)
        return lock

    def _note_fence(self, lock: Lock, lease: Lease) -> None:
        lock.note_fence(lease.waiter.mode, lease.fence)
        self._note_largest(lock)

    def _pass_all_fences(self, lock: Lock) -> None:
        lock.pass_all_fences()
        self._note_largest(lock)

    def _note_largest(self, lock: Lock) -> None:
        fence = lock.last_fence
        if fence > self.largest_fence:
            self.largest_fence = fence
        if fence > self.largest_ticket:
            self.largest_ticket = fence

    def _lift_floor(self, fence: int) -> None:
        """Let every fence given from now on exceed this one."""
        self.fence_floor = max(self.fence_floor, fence)
        for lock in self._locks.values():
            lock.note_fence(Mode.EXCLUSIVE, self.fence_floor)
        self.largest_fence = max(self.largest_fence, fence)
        self.largest_ticket = max(self.largest_ticket, fence)

    def _forget_if_idle(self, lock: Lock, now: int) -> None:
        if not lock.idle:
            return
        if lock.idle_since + IDLE_BEFORE_FORGOTTEN > now:
            self._deadlines.set(lock, lock.idle_since + IDLE_BEFORE_FORGOTTEN)
            return
        self.fence_floor = max(self.fence_floor, lock.last_fence)
        del self._locks[lock.key]

    # Waiters

    def _join_line(self, lock: Lock, waiter: Waiter) -> None:
        lock.join(waiter)
        self._waiters[waiter.token] = waiter
        self._waiting.setdefault(waiter.owner, set()).add(waiter)

    def _leave_line(self, waiter: Waiter) -> None:
        self._locks[waiter.key].leave(waiter)
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

    # Leases

    def _next_number(self) -> int:
        self._grants += 1
        return self._grants

    def _add_lease(self, lock: Lock, lease: Lease) -> None:
        if isinstance(lease, Adopted):
            lock.adopt(lease)
            self._adopted[lease.digest] = lease
        else:
            lock.stand(lease)
            self._leases[lease.waiter.token] = lease
        self._note_fence(lock, lease)
        self._keep_until(lease, lease.deadline)

    def _keep_until(self, lease: Lease, deadline: int) -> None:
        if deadline > lease.deadline:
            lease.deadline = deadline
        self._deadlines.set(lease, lease.deadline)
        if self._journaled:
            self._changed[lease.number] = lease

    def _drop_lease(self, lease: Lease, event: Event) -> None:
        self._tell(event, lease)
        self._discard(lease)

    def _discard(self, lease: Lease) -> None:
        self._deadlines.discard(lease)
        lock = self._locks[lease.waiter.key]
        if isinstance(lease, Adopted):
            del self._adopted[lease.digest], lock.adopted[lease.digest]
        else:
            del self._leases[lease.waiter.token]
            lock.drop(lease)
        self._note_end(lease.number)

    def _adopt(self, adoption: Adoption, now: int) -> None:
        """Let a lease another node told of stand here for its full ttl."""
        key = (Space.QUORUM, adoption.name)
        waiter = Waiter(Token(""), key, _NOBODY, adoption.label, adoption.ticket, adoption.ttl, adoption.mode)
        until, number = now + adoption.ttl, self._next_number()
        lease = Adopted(waiter, self._incarnation, number, adoption.fence, until, told_digest=adoption.digest)
        lease.revoked = adoption.revoked
        self._add_lease(self._lock(key), lease)
        self._tell(Event.ADOPTED, lease)

    def _take_over(self, lock: Lock, lease: Lease) -> None:
        """Let a new grant stand for what was adopted of the same token, for as long as either would have stood."""
        adopted = lock.adopted.get(lease.digest) if lock.adopted else None
        if adopted is not None:
            self._discard(adopted)
            lease.revoked = adopted.revoked
            lease.full_ttl = max(lease.full_ttl, adopted.full_ttl)
            lease.deadline = max(lease.deadline, adopted.deadline)

    def _remember_revoked(self, lease: Lease) -> None:
        revocation = Revocation(lease.digest, lease.number, lease.deadline, lease.full_ttl)
        self._add_revocation(revocation)
        if self._journaled:
            self._changed[revocation.number] = revocation

    def _add_revocation(self, revocation: Revocation) -> None:
        before = self._revoked.get(revocation.digest)
        if before is not None:
            self._deadlines.discard(before)
            self._note_end(before.number)
        self._revoked[revocation.digest] = revocation
        self._deadlines.set(revocation, revocation.deadline)

    def _forget_revoked(self, revocation: Revocation) -> None:
        del self._revoked[revocation.digest]
        self._note_end(revocation.number)

    # The journal

    def take_changes(self) -> Changes:
        """Return, once, what the journal has to write."""
        changed, self._changed = self._changed, {}
        self._written_fence = self.largest_fence
        records: list[Numbered] = [(number, None if one is None else _record(one)) for number, one in changed.items()]
        return Changes(records, self.largest_fence)

    def restore(self, kept: Kept, now: int, *, same_boot: bool) -> None:
        """Take over what the journal of an earlier life knew; call it once, before anything else.

        On the same boot of the machine deadlines are exact. After another one they mean nothing, and every lease
        gets its full ttl again, which is written anew.
        """
        self._lift_floor(kept.fence_floor)
        self._written_fence = kept.fence_floor
        for number, record in sorted(kept.records, key=lambda numbered: numbered[0]):
            deadline = record.deadline if same_boot else now + record.full_ttl
            self._grants = max(self._grants, number)
            self._restore_one(number, record, deadline)
        if same_boot:
            self._changed.clear()

    def begin_anew(self, kept: Kept) -> None:
        """Take over nothing but the largest fence from a journal of a node that never came to serve, and clear it."""
        self._lift_floor(kept.fence_floor)
        self._written_fence = kept.fence_floor
        for number, _ in kept.records:
            self._grants = max(self._grants, number)
            self._note_end(number)

    def _restore_one(self, number: int, record: Record, deadline: int) -> None:
        match record:
            case LeaseRecord():
                key = (record.space, record.name)
                waiter = Waiter(record.token, key, _NOBODY, record.label, record.ticket, record.ttl, record.mode)
                lease = Lease(waiter, *record.grant_id, record.fence, deadline, record.full_ttl, record.revoked)
                self._add_lease(self._lock(key), lease)
            case AdoptedRecord():
                key, ttl = (record.space, record.name), record.full_ttl
                waiter = Waiter(Token(""), key, _NOBODY, record.label, record.ticket, ttl, record.mode)
                adopted = Adopted(waiter, *record.grant_id, record.fence, deadline, told_digest=record.digest)
                adopted.revoked = record.revoked
                self._add_lease(self._lock(key), adopted)
            case _:
                revocation = Revocation(record.digest, number, deadline, record.full_ttl)
                self._add_revocation(revocation)
                self._changed[number] = revocation

    def _note_change(self, lease: Lease) -> None:
        if self._journaled:
            self._changed[lease.number] = lease

    def _note_end(self, number: int) -> None:
        if self._journaled:
            self._changed[number] = None


def _number(lease: Lease) -> int:
    return lease.number


def adoption(lease: Lease) -> Adoption:
    """Return what other nodes are told of a lease."""
    waiter = lease.waiter
    return Adoption(
        digest=lease.digest,
        name=waiter.key[1],
        label=waiter.label,
        ticket=waiter.ticket,
        mode=waiter.mode,
        fence=lease.fence,
        ttl=lease.full_ttl,
        revoked=lease.revoked,
    )


def _record(one: Lease | Revocation) -> Record:
    if isinstance(one, Revocation):
        return RevokedRecord(one.digest, one.deadline, one.full_ttl)
    waiter = one.waiter
    space, name = waiter.key
    asked = (space, name, waiter.label, waiter.ticket, waiter.mode)
    given = (one.grant_id, one.fence, one.deadline, one.full_ttl, one.revoked)
    if isinstance(one, Adopted):
        return AdoptedRecord(*asked, *given, one.digest)
    return LeaseRecord(*asked, *given, waiter.token, waiter.ttl)
