"""The clocks of a process: a steady one that counts suspend, and the wall clock.

Rules take `now` as an argument; only the edges (`service` in the node, `coordinator` in the library) hold a
`Clock`. Arithmetic about durations is in `durations`, which the pure rooms may import.
"""

from __future__ import annotations

import time
from typing import Final, Protocol


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
        clock_id = self._clock_id
        return (time.monotonic_ns() if clock_id is None else time.clock_gettime_ns(clock_id)) // 1_000

    def wall(self) -> int:
        return time.time_ns() // 1_000
