"""How much evidence is wanted of each part, at each size, and how much of it a record has reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tests.evidence.record import Record

Size = Literal["short", "long", "full"]
SIZES: Final[tuple[Size, ...]] = get_args(Size)
Measure = Callable[[Record], int]

SLICE_SECONDS: Final[dict[Size, float]] = {"short": 20, "long": 60, "full": 240}
"""How long one slice lasts: what a stop loses at most."""


@dataclass(frozen=True)
class Figure:
    """One number that evidence must reach."""

    part: str
    what: str
    measure: Measure
    short: int
    long: int
    full: int

    def wanted(self, size: Size) -> int:
        """Return what must be reached at this size; 0 when nothing is asked."""
        return {"short": self.short, "long": self.long, "full": self.full}[size]

    def share(self, record: Record, size: Size) -> float:
        """Return how much of it is there, from 0 to 1."""
        wanted = self.wanted(size)
        return min(1.0, self.measure(record) / wanted) if wanted else 1.0


def count(name: str, per: int = 1) -> Measure:
    """Measure one counter, in units of `per`."""
    return lambda record: record.counts.get(name, 0) // per


def total(table: str) -> Measure:
    """Measure all counters of one table together."""
    return lambda record: sum(column(record, table).values())


def rows(table: str) -> Measure:
    """Measure how many counters of one table are above zero."""
    return lambda record: sum(value > 0 for value in column(record, table).values())


def times_of(table: str, place: int) -> Measure:
    """Measure the counter at this place of one table, the largest being the first."""
    return lambda record: [*sorted(column(record, table).values(), reverse=True), *[0] * place][place - 1]


def passed(prefix: str = "") -> Measure:
    """Measure how many single checks were made and held."""
    return lambda record: sum(name.startswith(prefix) for name in record.passed)


def searched_states(record: Record) -> int:
    """Measure the states of searches that were complete, those of each search once, however often it was made."""
    return sum(int(how.partition(" ")[0].replace(",", "")) for how in _searched(record).values())


def searched_models(record: Record) -> int:
    """Measure how many models were searched to the end."""
    return len({name.partition("/")[0] for name in _searched(record)})


def _searched(record: Record) -> dict[str, str]:
    prefix = "searched: "
    return {name.removeprefix(prefix): how for name, how in record.passed.items() if name.startswith(prefix)}


def percent(some: str, of: str) -> Measure:
    """Measure one counter in percent of another, rounded down."""
    return lambda record: 100 * record.counts.get(some, 0) // max(1, record.counts.get(of, 0))


def column(record: Record, table: str) -> dict[str, int]:
    """Return the counters of one table, by their names in it."""
    prefix = f"{table}/"
    return {name.removeprefix(prefix): value for name, value in record.counts.items() if name.startswith(prefix)}


FIGURES: Final = (
    Figure("simulation", "seeds", count("seeds"), 500, 10_000, 100_000),
    Figure("simulation", "grants", count("grants"), 20_000, 300_000, 3_000_000),
    Figure("simulation", "simulated hours", count("simulated_seconds", per=3_600), 0, 150, 1_500),
    Figure("simulation", "kinds of faults fired", rows("faults"), 25, 30, 30),
    Figure("simulation", "times the 30th most fired kind was fired", times_of("faults", 30), 0, 100, 1_000),
    Figure("simulation", "stale requests that the resource refused", count("stale requests refused"), 1, 100, 1_000),
    Figure("cancellation", "runs, each cancelled at another point", total("cancellations"), 100, 1_000, 10_000),
    Figure("cancellation", "kinds of calls cancelled", rows("cancellations"), 3, 27, 27),
    Figure("cancellation", "contests of several clients", count("contests"), 0, 20, 100),
    Figure("planted", "planted bugs caught", passed(), 10, 40, 78),
    Figure("model", "models searched exhaustively", searched_models, 1, 5, 5),
    Figure("model", "states in exhaustive searches, each search once", searched_states, 1, 5_000_000, 50_000_000),
    Figure("model", "searches that were exhaustive", passed("searched: "), 1, 5, 22),
    Figure("model", "mutants refuted", passed("mutant: "), 9, 36, 36),
    Figure("chaos", "seconds under faults", count("milliseconds_of_chaos", per=1_000), 60, 600, 3_600),
    Figure("chaos", "lock cycles", count("cycles"), 1, 50_000, 300_000),
    Figure("chaos", "nemesis actions", total("nemesis"), 1, 80, 500),
    Figure("chaos", "kinds of nemesis actions", rows("nemesis"), 10, 20, 26),
    Figure("chaos", "positive control: updates lost without fences", count("lost_updates/unchecked"), 1, 1, 1),
    Figure("checker", "kinds of damage refused", passed("damage/"), 10, 21, 21),
    Figure("checker", "damaged histories", count("histories/broken"), 10, 500, 2_000),
    Figure("fuzz", "examples", total("examples"), 50, 5_000, 30_000),
    Figure("fuzz", "properties tried", rows("rounds"), 3, 25, 25),
    Figure("fuzz", "planted bugs found", passed("planted: "), 1, 19, 19),
    Figure("kills", "rounds", count("rounds"), 100, 1_000, 10_000),
    Figure("coverage", "branches of the pure rooms, percent", percent("branches/covered", "branches"), 100, 100, 100),
    Figure("coverage", "lines of the pure rooms, percent", percent("lines/covered", "lines"), 100, 100, 100),
)


def figures_of(part: str, figures: Iterable[Figure] = FIGURES) -> list[Figure]:
    """Return the figures of one part."""
    return [figure for figure in figures if figure.part == part]
