"""One lock: the leases that stand, the line behind them, and the fences that were given.

The rules of compatibility, of fences and of whom to inquire. Pure; which lock, when and for whom is the table's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, auto
from itertools import chain, islice
from typing import Final

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


@dataclass(slots=True, eq=False)
class Lease:
    """A grant that stands until its deadline (microseconds of the node's clock).

    `full_ttl` is the longest ttl it was ever granted or renewed for: what it may still be relied on elsewhere.
    """

    waiter: Waiter
    grant_id: GrantId
    fence: int
    deadline: int
    full_ttl: int = 0
    revoked: bool = False
    inquired_for: set[Token] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        ttl = self.waiter.ttl
        if self.full_ttl < ttl:
            self.full_ttl = ttl

    @property
    def number(self) -> int:
        """What tells it from all other leases of this node, restarts included."""
        return self.grant_id[1]

    @property
    def digest(self) -> str:
        """The digest of its token."""
        return token_digest(self.waiter.token)


@dataclass(slots=True, eq=False)
class Adopted(Lease):
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


class Lock:
    """The state of one name in one space."""

    __slots__ = (
        "_inquired_head",
        "adopted",
        "idle_since",
        "key",
        "last_exclusive_fence",
        "last_fence",
        "leases",
        "line",
    )

    def __init__(self, key: Key, fence_floor: int) -> None:
        self.key = key
        self.leases: dict[Token, Lease] = {}
        self.adopted = _NONE_ADOPTED
        self.line = Line()
        self.last_exclusive_fence = fence_floor
        self.last_fence = fence_floor
        self.idle_since = 0
        self._inquired_head: Waiter | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody holds the lock or waits for it."""
        return not self.leases and not self.line and not self.adopted

    @property
    def all_leases(self) -> list[Lease]:
        """Every lease that stands, those told of by other nodes last."""
        return [*self.leases.values(), *self.adopted.values()]

    def next_to_grant(self) -> Waiter | None:
        """Return the head of the line if it is compatible with every lease; what was adopted of its own is none."""
        head = self.line.head
        return head if head is not None and self._admits(head) else None

    def _admits(self, waiter: Waiter) -> bool:
        if self.adopted and not self._admits_beside_adopted(waiter):
            return False
        if not self.leases:
            return True
        return waiter.mode is Mode.SHARED and next(iter(self.leases.values())).waiter.mode is Mode.SHARED

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
        shown = islice(chain(self.leases.values(), self.adopted.values()), HOLDERS_SHOWN)
        return [Holder(lease.waiter.label, short_hash(lease.digest), lease.waiter.mode) for lease in shown]

    def inquiries(self) -> list[Lease]:
        """Return the leases to inquire after because the head of the line came before them, once per pair.

        A lease granted while the same head waits came before that head, so only a new head needs a search.
        """
        head = self.line.head
        if head is self._inquired_head:
            return []
        self._inquired_head = head
        return [] if head is None else [lease for lease in self.leases.values() if self._inquire(head, lease)]

    def inquires_again(self, lease: Lease) -> bool:
        """Say whether a holder that acquired again must be inquired again."""
        head = self.line.head
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
