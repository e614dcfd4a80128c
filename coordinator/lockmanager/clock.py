"""Time for both sides: whole microseconds, a clock that counts suspend, and the drift allowance.

Rules take `now` as an argument; only the edges (`service` in the node, `coordinator` in the library) hold a
`Clock`. Durations cross the wire, instants never: an instant means nothing on another machine.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

MICROSECONDS: Final = 1_000_000
"""Microseconds in a second: every duration and instant inside the system is a whole number of microseconds."""

HEARTBEAT_LIMIT: Final = MICROSECONDS
"""The longest an idle session with waiters or leases stays silent."""

SILENT_HEARTBEATS: Final = 3
"""A session that missed this many heartbeats is given up by either side."""


class Clock(Protocol):
    """What the edges of the system ask for time; tests give their own."""

    def now(self) -> int:
        """Return this process's steady clock in microseconds; it never goes back and counts suspend."""
        ...

    def wall(self) -> int:
        """Return the wall clock in microseconds since 1970; for tickets and display, never for safety."""
        ...


class SystemClock:
    """The machine's clocks: `CLOCK_BOOTTIME` (Linux), or `time.monotonic` where that is missing."""

    _clock_id: Final = getattr(time, "CLOCK_BOOTTIME", None)

    def now(self) -> int:
        if self._clock_id is None:
            return time.monotonic_ns() // 1_000
        return time.clock_gettime_ns(self._clock_id) // 1_000

    def wall(self) -> int:
        return time.time_ns() // 1_000


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
    return ttl // 100 + 2_000


def heartbeat(ttl: int) -> int:
    """Return how long a session whose shortest ttl is `ttl` may stay silent, both in microseconds."""
    return min(HEARTBEAT_LIMIT, ttl // 5)
