"""One lock: the leases that stand, the line behind them, and the fences that were given.

The rules of compatibility, of fences and of whom to inquire. Pure; which lock, when and for whom is the table's.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum, auto
from itertools import chain, islice
from typing import Any, Final

import msgspec

from lockmanager.wire import GrantId, Holder, Mode, Token, short_hash, token_digest

from .line import Key, Line, Waiter

HOLDERS_SHOWN: Final = 16
"""Holders named in one answer: thousands may share a lock, and every frame has a limit."""


class Event(StrEnum):
    """What happens to a lease, for logs and metrics; nothing rests on who listens."""

    GRANTED = auto()
    RELEASED = auto()
    EXPIRED = auto()
    YIELDED = auto()
    REVOKED = auto()
    ADOPTED = auto()


class Lease(msgspec.Struct, eq=False, gc=False):
    """A grant that stands until its deadline (microseconds of the node's clock).

    `full_ttl` is the longest ttl it was ever granted or renewed for: what it may still be relied on elsewhere.
    A million of them may stand: they are kept small, and out of the sight of the garbage collector, as they refer to
    nothing that refers to them.
    """

    waiter: Waiter
    incarnation: int
    number: int
    fence: int
    deadline: int
    full_ttl: int = 0
    revoked: bool = False
    inquired_for: set[Token] | None = None

    def __post_init__(self) -> None:
        ttl = self.waiter.ttl
        if self.full_ttl < ttl:
            self.full_ttl = ttl

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.waiter!r}, {self.grant_id}, fence={self.fence}, deadline={self.deadline})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("waiter", self.waiter), ("grant_id", self.grant_id), ("fence", self.fence)]

    @property
    def grant_id(self) -> GrantId:
        """What tells this grant from all others; `number` does so among those of this node, restarts included."""
        return self.incarnation, self.number

    @property
    def digest(self) -> str:
        """The digest of its token."""
        return token_digest(self.waiter.token)


class Adopted(Lease, eq=False, gc=False):
    """A lease other nodes told of after this one forgot it: it keeps others out until it is released or its deadline.

    Its token is not known before its owner speaks, only the digest. Two that exclude each other may stand together:
    at most one of them can be relied on, and this node cannot tell which.
    """

    told_digest: str = ""

    @property
    def digest(self) -> str:
        return self.told_digest


_NONE_ADOPTED: Final[dict[str, Adopted]] = {}
"""Shared by all locks that have none; never written to."""


class Lock(msgspec.Struct, eq=False, gc=False):
    """The state of one name in one space. As small as can be: most locks have one lease or none, and no line."""

    key: Key
    last_fence: int
    last_exclusive_fence: int = 0
    idle_since: int = 0
    adopted: dict[str, Adopted] = msgspec.field(default_factory=lambda: _NONE_ADOPTED)
    _first: Lease | None = None
    _others: dict[Token, Lease] | None = None
    _line: Line | None = None
    _inquired_head: Waiter | None = None

    def __post_init__(self) -> None:
        self.last_exclusive_fence = self.last_fence

    @property
    def idle(self) -> bool:
        """Whether nobody holds the lock or waits for it."""
        return self._first is None and not self._line and not self.adopted

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return 0 if self._line is None else len(self._line)

    @property
    def line(self) -> Line:
        """The line, to read; it is made for the first who looks."""
        if self._line is None:
            self._line = Line()
        return self._line

    def join(self, waiter: Waiter) -> None:
        """Let the waiter stand in the line."""
        self.line.add(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Take the waiter out of the line; raises ValueError when it does not stand there."""
        self.line.remove(waiter)
        self._drop_empty_line()

    def _drop_empty_line(self) -> None:
        if not self._line:
            self._line = None

    @property
    def leases(self) -> dict[Token, Lease]:
        """The leases given here by token, to read."""
        return {lease.waiter.token: lease for lease in self._given()}

    def _given(self) -> Iterator[Lease]:
        if self._first is not None:
            yield self._first
            if self._others:
                yield from self._others.values()

    @property
    def all_leases(self) -> list[Lease]:
        """Every lease that stands, those told of by other nodes last."""
        return [*self._given(), *self.adopted.values()]

    def stand(self, lease: Lease) -> None:
        """Let a lease given here stand."""
        if self._first is None:
            self._first = lease
            return
        if self._others is None:
            self._others = {}
        self._others[lease.waiter.token] = lease

    def drop(self, lease: Lease) -> None:
        """Let a lease given here stand no more."""
        others = self._others
        if lease is not self._first:
            if others is None:
                raise ValueError(f"{lease!r} does not stand here")
            del others[lease.waiter.token]
        elif others:
            self._first = others.pop(next(iter(others)))
        else:
            self._first = None
        if not others:
            self._others = None

    def next_to_grant(self) -> Waiter | None:
        """Return the head of the line if it is compatible with every lease; what was adopted of its own is none."""
        if self._line is None:
            return None
        head = self._line.head
        return head if head is not None and self._admits(head) else None

    def _admits(self, waiter: Waiter) -> bool:
        if self.adopted and not self._admits_beside_adopted(waiter):
            return False
        if self._first is None:
            return True
        return waiter.mode is Mode.SHARED and self._first.waiter.mode is Mode.SHARED

    def _admits_beside_adopted(self, waiter: Waiter) -> bool:
        own = token_digest(waiter.token)
        others = (lease.waiter.mode for digest, lease in self.adopted.items() if digest != own)
        return all(Mode.EXCLUSIVE not in (mode, waiter.mode) for mode in others)

    def adopt(self, lease: Adopted) -> None:
        """Let a lease that other nodes told of stand here."""
        if not self.adopted:
            self.adopted = {}
        self.adopted[lease.digest] = lease

    def fence_for(self, waiter: Waiter) -> int:
        """Return the fence of a new grant: above every holder the waiter must come after."""
        below = self.last_fence if waiter.mode is Mode.EXCLUSIVE else self.last_exclusive_fence
        return max(waiter.ticket, below + 1)

    def note_fence(self, mode: Mode, fence: int) -> None:
        """Lift the marks to a fence that was granted or raised here."""
        if fence > self.last_fence:
            self.last_fence = fence
        if mode is Mode.EXCLUSIVE and fence > self.last_exclusive_fence:
            self.last_exclusive_fence = fence

    def pass_all_fences(self) -> None:
        """Lift both marks above every fence given here, whatever its mode."""
        self.last_fence += 1
        self.last_exclusive_fence = self.last_fence

    def holders(self) -> list[Holder]:
        """Return who holds the lock, fit to be shown to others: of many readers the first few."""
        shown = islice(chain(self._given(), self.adopted.values()), HOLDERS_SHOWN)
        return [Holder(lease.waiter.label, short_hash(lease.digest), lease.waiter.mode) for lease in shown]

    def inquiries(self) -> list[Lease]:
        """Return the leases to inquire after because the head of the line came before them, once per pair.

        A lease granted while the same head waits came before that head, so only a new head needs a search.
        """
        head = None if self._line is None else self._line.head
        if head is self._inquired_head:
            return []
        self._inquired_head = head
        return [] if head is None else [lease for lease in self._given() if self._inquire(head, lease)]

    def inquires_again(self, lease: Lease) -> bool:
        """Say whether a holder that acquired again must be inquired again."""
        head = None if self._line is None else self._line.head
        lease.inquired_for = None
        return head is not None and self._inquire(head, lease)

    def _inquire(self, head: Waiter, lease: Lease) -> bool:
        if Mode.EXCLUSIVE not in (head.mode, lease.waiter.mode):
            return False
        if head.place > lease.waiter.place:
            return False
        if lease.inquired_for is None:
            lease.inquired_for = set()
        elif head.token in lease.inquired_for:
            return False
        lease.inquired_for.add(head.token)
        return True
