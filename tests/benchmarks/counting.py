"""What is counted while workers run, and what follows from it. Pure: instants are arguments, in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from .subject import Crowd, Strike

FULL_AGAIN = 1.0
"""Seconds after which throughput should be back when one server of several was struck."""


class Line:
    """Watches one lock: who asked when, and who was granted before somebody that had asked earlier."""

    def __init__(self) -> None:
        self.overtakings = 0
        self._asked = 0
        self._waiting: dict[int, float] = {}

    def ask(self, now: float) -> int:
        """Note that somebody asks; returns the number to tell when it is granted."""
        self._asked += 1
        self._waiting[self._asked] = now
        return self._asked

    def granted(self, number: int, now: float) -> float:
        """Note a grant; returns how long it was waited for."""
        if number != next(iter(self._waiting)):
            self.overtakings += 1
        return now - self._waiting.pop(number)

    def longest_still_waiting(self, now: float) -> float:
        """Return how long the first of those still in line has waited, 0.0 when nobody is."""
        return now - next(iter(self._waiting.values())) if self._waiting else 0.0


def settle_line(found: Crowd, line: Line, now: float) -> None:
    """Close the books of a queue: a worker that waits longer than any that was served counts as far as it got."""
    found.overtakings = line.overtakings
    longest = line.longest_still_waiting(now)
    if longest > max(found.waits, default=0.0):
        found.waits.append(longest)


def strike_from(begin: float, struck: float, end: float, ends: Sequence[float], failures: int) -> Strike:
    """Return what the instants at which cycles ended say about a signal sent at `struck`; `ends` is in order."""
    later = [instant for instant in ends if struck < instant <= end]
    marks = [struck, *later, end]
    full_again = struck + FULL_AGAIN
    return Strike(
        before=_rate(sum(instant <= struck for instant in ends), struck - begin),
        after=_rate(sum(instant > full_again for instant in later), end - full_again),
        longest_stall=max(after - before for before, after in pairwise(marks)),
        failures=failures,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed; NaN when there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
