"""The figures for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from .figures import Alone, Crowd, Figures, Queue, RoundTrip

COLUMNS: Final = ("measured", "what", "#figure")
_NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Setting:
    """How it was measured: what a figure means nothing without. `seconds` per part."""

    cluster: str
    nodes: int
    replicas: int
    names: str
    workers: int
    seconds: float
    event_loop: str

    def __str__(self) -> str:
        return (
            f"cluster {self.cluster!r}: {self.nodes} nodes, {self.replicas} decide about a name; "
            f"one client process ({self.event_loop}), {self.seconds:g} s per part"
        )


def document(setting: Setting, figures: Figures) -> dict[str, Any]:
    """Return everything as JSON's types; durations in seconds, null where there is no figure."""
    return {"setting": asdict(setting), **asdict(figures)}


def rows(setting: Setting, figures: Figures) -> Iterator[tuple[str, str, str]]:
    """Return the rows of the table, for `COLUMNS`; a group is named in its first row."""
    groups: list[tuple[str, list[tuple[str, str]]]] = [
        ("one worker", _alone(figures.alone)),
        (f"{_count(setting.workers, 'worker')}, names of their own", _crowd(figures.crowd)),
        (f"{_count(setting.workers, 'worker')}, one name", _queue(figures.queue)),
        *((f"round trip to {trip.node}", _round_trip(trip)) for trip in figures.round_trips),
    ]
    for title, group in groups:
        for number, (what, figure) in enumerate(group):
            yield "" if number else title, what, figure


def _alone(found: Alone) -> list[tuple[str, str]]:
    return [
        ("acquire + release, median", duration(found.median)),
        ("acquire + release, 99th percentile", duration(found.p99)),
    ]


def _crowd(found: Crowd) -> list[tuple[str, str]]:
    return [
        ("acquire + release", _per_second(found.per_second)),
        ("client CPU for each", duration(found.client_cpu)),
    ]


def _queue(found: Queue) -> list[tuple[str, str]]:
    return [
        ("hand-overs", _per_second(found.per_second)),
        ("wait, median", duration(found.median_wait)),
        ("wait, longest", duration(found.longest_wait)),
        ("overtakings", f"{found.overtakings:,}"),
    ]


def _round_trip(trip: RoundTrip) -> list[tuple[str, str]]:
    if trip.cause is not None:
        return [(trip.cause, _NOTHING)]
    return [("ping, median", duration(trip.median))]


def duration(seconds: float | None) -> str:
    """Return a duration with three digits in the unit that fits it."""
    if seconds is None:
        return _NOTHING
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        value = f"{seconds * factor:#.3g}".removesuffix(".")
        if float(value) < 1000:
            return f"{value} {unit}"
    return f"{seconds:.2f} s"


def _per_second(rate: float) -> str:
    return f"{rate:,.0f} /s" if rate >= 10 else f"{rate:.1f} /s"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
