"""What a node accepts: the limits on one request, each refused with a stable code and a clear text.

Pure: the wall clock, against which tickets are checked, is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lockmanager import topology
from lockmanager.durations import MICROSECONDS, microseconds, seconds
from lockmanager.wire import TOKEN_LENGTH, Acquire, Space

LARGEST_FENCE: Final = (1 << 53) - 1
"""The largest integer every JSON reader keeps exact."""

LONGEST_TTL: Final = microseconds(topology.YEAR)
"""What a cluster may allow at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one node; durations in microseconds, lengths in bytes."""

    name_bytes: int = 255
    label_bytes: int = 128
    min_ttl: int = microseconds(0.1)
    max_ttl: int = microseconds(30 * 24 * 3600)
    leases: int = 1_000_000
    waiters: int = 10_000
    ticket_ahead: int = microseconds(24 * 3600)

    @classmethod
    def of(cls, limits: topology.Limits) -> Limits:
        """Take the limits a cluster document states."""
        return cls(
            name_bytes=limits.name_bytes,
            label_bytes=limits.label_bytes,
            min_ttl=microseconds(limits.min_ttl),
            max_ttl=microseconds(limits.max_ttl),
            leases=limits.leases,
            waiters=limits.waiters,
            ticket_ahead=microseconds(limits.ticket_ahead),
        )


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a request is rejected: a stable code and a text for people."""

    code: str
    detail: str


def check_acquire(request: Acquire, limits: Limits, wall: int) -> Excess | None:
    """Return the first limit the request breaks, or None."""
    return (
        check_token(request.token)
        or check_name(request.name, limits)
        or check_label(request.label, limits)
        or check_ttl(request.ttl, limits)
        or check_ticket(request.ticket, limits, wall)
    )


def check_token(token: str) -> Excess | None:
    """A token is 32 characters of `[0-9A-Za-z]`; the text never shows it."""
    if len(token) == TOKEN_LENGTH and token.isascii() and token.isalnum():
        return None
    return Excess("token", f"a token is {TOKEN_LENGTH} characters of 0-9, A-Z and a-z; this one is not")


def check_name(name: str, limits: Limits) -> Excess | None:
    """A lock name is 1 to 255 bytes of UTF-8."""
    size = _utf8_size(name)
    if size is None:
        return Excess("name", "the lock name is not valid UTF-8: it holds a lone surrogate")
    if 1 <= size <= limits.name_bytes:
        return None
    return Excess("name", f"a lock name is 1 to {limits.name_bytes} bytes of UTF-8; this one has {size}")


def check_label(label: str, limits: Limits) -> Excess | None:
    """A label is up to 128 bytes of UTF-8."""
    size = _utf8_size(label)
    if size is None:
        return Excess("label", "the label is not valid UTF-8: it holds a lone surrogate")
    if size <= limits.label_bytes:
        return None
    return Excess("label", f"a label is at most {limits.label_bytes} bytes of UTF-8; this one has {size}")


def check_ttl(ttl: int, limits: Limits) -> Excess | None:
    """A ttl is 0.1 s to 30 days."""
    if limits.min_ttl <= ttl <= limits.max_ttl:
        return None
    low, high = seconds(limits.min_ttl), seconds(limits.max_ttl)
    return Excess("ttl", f"a ttl is {low:g} s to {high:g} s; this one is {seconds(ttl):g} s")


def check_ticket(ticket: int, limits: Limits, wall: int) -> Excess | None:
    """A ticket is positive and at most a day ahead of the node's wall clock."""
    if ticket < 1:
        return Excess("ticket", f"a ticket is a positive integer; this one is {ticket}")
    ahead = ticket - wall
    if ahead <= limits.ticket_ahead and ticket <= LARGEST_FENCE:
        return None
    most = seconds(limits.ticket_ahead)
    return Excess(
        "ticket",
        f"the ticket is {seconds(ahead):.0f} s ahead of this node's wall clock, more than the {most:.0f} s allowed:"
        " set the clocks of the client and of the nodes",
    )


def check_fence(fence: int, limits: Limits, wall: int) -> Excess | None:
    """A fence is positive and at most two days ahead of the node's wall clock: a ticket's day, and clocks that differ.

    All later fences exceed it, so one far ahead would leave none for those who come after.
    """
    if fence < 1:
        return Excess("fence", f"a fence is a positive integer; this one is {fence}")
    ahead, most = fence - wall, 2 * limits.ticket_ahead
    if ahead <= most and fence <= LARGEST_FENCE:
        return None
    return Excess(
        "fence",
        f"the fence is {ahead // MICROSECONDS} s ahead of this node's wall clock, more than the {seconds(most):.0f} s"
        " allowed: set the clocks of the client and of the nodes",
    )


def check_session_space(space: Space) -> Excess | None:
    """Sessions ask for quorum and efficiency locks; the node's own space belongs to HTTP."""
    if space is not Space.NODE:
        return None
    return Excess("space", "a session acquires in the spaces quorum and efficiency; use HTTP for the node's own space")


def _utf8_size(text: str) -> int | None:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None
