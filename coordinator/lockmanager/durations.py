"""Durations for both sides: whole microseconds, the heartbeat, and the drift allowance.

Pure arithmetic for rules that take `now` as an argument; the clocks themselves are in `clock`. Durations cross the
wire, instants never: an instant means nothing on another machine.
"""

from __future__ import annotations

from typing import Final

MICROSECONDS: Final = 1_000_000
"""Microseconds in a second: every duration and instant inside the system is a whole number of microseconds."""

HEARTBEAT_LIMIT: Final = MICROSECONDS
"""The longest an idle session with waiters or leases stays silent."""

SILENT_HEARTBEATS: Final = 3
"""A session that missed this many heartbeats is given up by either side."""

_NOTICE_LIMIT: Final = 100_000
"""At most this long before validity ends, in microseconds, a holder is told."""

_COARSE: Final = 2_000
"""What clocks that tick coarsely may cost, in microseconds."""


def microseconds(seconds: float) -> int:
    """Convert seconds to whole microseconds; raises ValueError or OverflowError for NaN and infinity."""
    return round(seconds * MICROSECONDS)


def seconds(micros: int) -> float:
    """Convert whole microseconds to seconds."""
    return micros / MICROSECONDS


def drift(ttl: int) -> int:
    """Return what clock rates that differ by up to 1 % may cost within `ttl`, both in microseconds.

    The allowance of the Redlock algorithm: a hundredth of the ttl, plus 2 ms for coarse clocks.
    """
    return ttl // 100 + _COARSE


def bound(echo: int, ttl: int) -> int:
    """Return until when a coordinator may rely on what a node decided for `ttl` after `echo`, by its own clock."""
    return echo + ttl - ttl // 100 - _COARSE


def notice(ttl: int) -> int:
    """Return how long before the end of what `ttl` gave a holder is told, both in microseconds."""
    return min(ttl // 10, _NOTICE_LIMIT)


def heartbeat(ttl: int) -> int:
    """Return how long a session whose shortest ttl is `ttl` may stay silent, both in microseconds."""
    return min(HEARTBEAT_LIMIT, ttl // 5)
