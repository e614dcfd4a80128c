"""One lock: the leases that stand, the line behind them, and the fences that were given.

The rules of compatibility, of fences and of whom to inquire. Pure; which lock, when and for whom is the table's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, auto
from itertools import islice
from typing import Final

from lockmanager.wire import GrantId, Holder, Mode, Token, token_hash

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


@dataclass(slots=True, eq=False)
class Lease:
    """A grant that stands until its deadline (microseconds of the node's clock)."""

    waiter: Waiter
    grant_id: GrantId
    fence: int
    deadline: int
    revoked: bool = False
    inquired_for: set[Token] = field(default_factory=set, repr=False)


class Lock:
    """The state of one name in one space."""

    __slots__ = ("_inquired_head", "idle_since", "key", "last_exclusive_fence", "last_fence", "leases", "line")

    def __init__(self, key: Key, fence_floor: int) -> None:
        self.key = key
        self.leases: dict[Token, Lease] = {}
        self.line = Line()
        self.last_exclusive_fence = fence_floor
        self.last_fence = fence_floor
        self.idle_since = 0
        self._inquired_head: Waiter | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody holds the lock or waits for it."""
        return not self.leases and not self.line

    def next_to_grant(self) -> Waiter | None:
        """Return the head of the line if it is compatible with every lease."""
        head = self.line.head
        return head if head is not None and self._admits(head.mode) else None

    def _admits(self, mode: Mode) -> bool:
        if not self.leases:
            return True
        return mode is Mode.SHARED and next(iter(self.leases.values())).waiter.mode is Mode.SHARED

    def fence_for(self, waiter: Waiter) -> int:
        """Return the fence of a new grant: above every holder the waiter must come after."""
        below = self.last_fence if waiter.mode is Mode.EXCLUSIVE else self.last_exclusive_fence
        return max(waiter.ticket, below + 1)

    def note_fence(self, mode: Mode, fence: int) -> None:
        """Lift the marks to a fence that was granted or raised here."""
        self.last_fence = max(self.last_fence, fence)
        if mode is Mode.EXCLUSIVE:
            self.last_exclusive_fence = max(self.last_exclusive_fence, fence)

    def pass_all_fences(self) -> None:
        """Lift both marks above every fence given here, whatever its mode."""
        self.last_fence += 1
        self.last_exclusive_fence = self.last_fence

    def holders(self) -> list[Holder]:
        """Return who holds the lock, fit to be shown to others: of many readers the first few."""
        shown = islice(self.leases.items(), HOLDERS_SHOWN)
        return [Holder(lease.waiter.label, token_hash(token), lease.waiter.mode) for token, lease in shown]

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
        lease.inquired_for.clear()
        return head is not None and self._inquire(head, lease)

    def _inquire(self, head: Waiter, lease: Lease) -> bool:
        if Mode.EXCLUSIVE not in (head.mode, lease.waiter.mode):
            return False
        if head.place > lease.waiter.place or head.token in lease.inquired_for:
            return False
        lease.inquired_for.add(head.token)
        return True
