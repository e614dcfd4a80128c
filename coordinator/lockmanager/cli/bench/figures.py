"""What is counted while workers run, and the figures that follow from it. Pure: instants are arguments, in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """How long a part was measured, and what this process spent on it; seconds."""

    elapsed: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Alone:
    """One worker: how long an acquire and its release take together, in seconds; None where nothing ended."""

    cycles: int
    median: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Crowd:
    """Workers with names of their own: cycles per second, and the CPU seconds of this process per cycle."""

    cycles: int
    per_second: float
    client_cpu: float | None


@dataclass(frozen=True, slots=True)
class Queue:
    """Workers that want one name; `overtakings` are grants before somebody who had asked earlier. Waits in seconds."""

    hand_overs: int
    per_second: float
    median_wait: float | None
    longest_wait: float | None
    overtakings: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A ping to one node and its answer, in seconds; or `cause`: why there was none."""

    node: str
    url: str
    median: float | None = None
    fastest: float | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything one run found."""

    alone: Alone
    crowd: Crowd
    queue: Queue
    round_trips: tuple[RoundTrip, ...]

    @property
    def empty(self) -> tuple[str, ...]:
        """The parts in which nothing ended while it counted."""
        counts = {"alone": self.alone.cycles, "crowd": self.crowd.cycles, "queue": self.queue.hand_overs}
        return tuple(part for part, count in counts.items() if not count)


class Line:
    """Watches one lock: who asked when, and who was granted before somebody that had asked earlier."""

    def __init__(self) -> None:
        self.overtakings = 0
        self.waits: list[float] = []
        self._asked = 0
        self._waiting: dict[int, float] = {}

    def ask(self, now: float) -> int:
        """Note that somebody asks; returns the number to tell when it is granted."""
        self._asked += 1
        self._waiting[self._asked] = now
        return self._asked

    def granted(self, number: int, now: float) -> None:
        """Note a grant, and how long it was waited for."""
        if number != next(iter(self._waiting)):
            self.overtakings += 1
        self.waits.append(now - self._waiting.pop(number))

    def settle(self, now: float) -> None:
        """Close the books: whoever waits longer than anybody who was served counts as far as it got."""
        longest = now - next(iter(self._waiting.values())) if self._waiting else 0.0
        if longest > max(self.waits, default=0.0):
            self.waits.append(longest)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def alone_from(durations: Sequence[float]) -> Alone:
    """Return what the durations of one worker's cycles say."""
    return Alone(len(durations), percentile(durations, 0.5), percentile(durations, 0.99))


def crowd_from(cycles: int, span: Span) -> Crowd:
    """Return what the cycles that ended within a span say."""
    return Crowd(cycles, _rate(cycles, span.elapsed), span.cpu / cycles if cycles else None)


def queue_from(hand_overs: int, line: Line, span: Span) -> Queue:
    """Return what the hand-overs within a span and their line, which is settled, say."""
    median, longest = percentile(line.waits, 0.5), max(line.waits, default=None)
    return Queue(hand_overs, _rate(hand_overs, span.elapsed), median, longest, line.overtakings)


def round_trip_from(node: str, url: str, durations: Sequence[float], cause: str | None) -> RoundTrip:
    """Return what pings say; where one was not answered, that alone."""
    if cause is not None:
        return RoundTrip(node, url, cause=cause)
    return RoundTrip(node, url, percentile(durations, 0.5), min(durations, default=None))


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
