"""The table of one run as text: what was measured, workload by workload, and the figures to reach. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .ledger import Figure, Ledger
from .plan import WORKLOADS
from .targets import EMPTY_HTTP, FLOOR, JOURNAL, MEMORY, REDLOCK, TARGETS

_NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """One metric, shown times `scale`; with `against`, as a ratio to that subject within the rounds.

    In a section of parts `metric` holds `{}` for the part, and `subject` says whose it is.
    """

    head: str
    metric: str
    scale: float = 1.0
    digits: int = 0
    against: str = ""
    subject: str = MEMORY


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one workload: a row for each subject that was measured, or one for each of the `parts` by its label."""

    workload: str
    columns: tuple[Column, ...]
    title: str = ""
    parts: tuple[tuple[str, object], ...] = ()


_US: Final = 1e6
_MS: Final = 1e3
_PERCENT: Final = 1e2


def _queue(workers: int) -> Section:
    columns = (
        Column("/s", f"w3.{workers}.rate"),
        Column("wait p50 ms", f"w3.{workers}.median", _MS, 2),
        Column("longest ms", f"w3.{workers}.longest", _MS, 2),
        Column("overtakings", f"w3.{workers}.overtakings"),
    )
    return Section("W3", columns, f"{workers} workers: hand-overs")


def _strike(how: str, signal: str) -> Section:
    columns = (
        Column("longest stall ms", f"w6.{how}.stall", _MS, 1),
        Column("x Redlock", f"w6.{how}.stall", 1, 2, REDLOCK),
        Column("before /s", f"w6.{how}.before"),
        Column("after /s", f"w6.{how}.after"),
        Column("failures", f"w6.{how}.failures"),
    )
    return Section("W6", columns, signal)


def _line(waiters: int) -> Section:
    columns = (Column("p50 us", f"w5.{waiters}.p50", _US), Column("p99 us", f"w5.{waiters}.p99", _US))
    return Section("W5", columns, f"{waiters:,} waiting")


def _cost(prefix: str) -> tuple[Column, ...]:
    return (
        Column("cycles/s", f"{prefix}.rate"),
        Column("client CPU us", f"{prefix}.client_cpu", _US, 1),
        Column("servers CPU us", f"{prefix}.server_cpu", _US, 1),
    )


_ALONE: Final = (
    Column("p50 us", "w1.p50", _US),
    Column("p99 us", "w1.p99", _US),
    Column("x echo", "w1.p50", 1, 2, FLOOR),
    Column("x Redlock", "w1.p50", 1, 2, REDLOCK),
)
_JOURNAL: Final = (
    Column("commits/s a node", "w2.commits"),
    Column("rows a commit", "w2.rows", 1, 1),
    Column("SQLite alone, us a commit", "w2.sync", _US),
)
_MEMORY: Final = (
    Column("bytes a lease", "w4.{}.bytes"),
    Column("with journal", "w4.{}.bytes", subject=JOURNAL),
)
_HOLDING: Final = (
    Column("client % of a core", "w8.client", _PERCENT, 2),
    Column("busiest node %", "w8.node", _PERCENT, 2),
    Column("all nodes %", "w8.nodes", _PERCENT, 2),
)
_HTTP: Final = (
    Column("p50 us", "w9.p50", _US),
    Column("p99 us", "w9.p99", _US),
    Column("x empty", "w9.p50", 1, 2, EMPTY_HTTP),
)
SECTIONS: Final = (
    Section("W1", _ALONE),
    Section("W2", (*_cost("w2"), Column("x Redlock", "w2.rate", 1, 2, REDLOCK))),
    Section("W2", _JOURNAL, "the journal under this"),
    *(_queue(workers) for workers in (10, 100)),
    Section("W4", _MEMORY, parts=tuple((f"{n:,} leases", n) for n in (10_000, 100_000, 1_000_000))),
    *(_line(waiters) for waiters in (1, 100, 1000)),
    *(_strike(how, signal) for how, signal in (("killed", "SIGKILL"), ("hung", "SIGSTOP"))),
    Section(
        "W7",
        (*_cost("w7.{}"), Column("cycles/s beside none", "w7.{}.none")),
        "W2 with",
        (
            *((f"{n} nodes, all decide", f"nodes.{n}") for n in (3, 5, 7)),
            *((f"{n} nodes, replicas=3", f"replicas.{n}") for n in (3, 6, 9)),
            *((f"{n} client sessions in {min(n, 10)} processes", f"sessions.{n}") for n in (1, 10, 100)),
            *((f"{n:,} leases held", f"held.{n}") for n in (1_000, 10_000, 100_000, 1_000_000)),
        ),
    ),
    Section("W8", _HOLDING),
    Section("W9", _HTTP),
)


def render(ledger: Ledger, workloads: Collection[str] = frozenset(WORKLOADS)) -> str:
    """Return the whole table; of the figures to reach, those of the workloads that were asked for."""
    lines = [*_measured(ledger), "", *_targets(ledger, workloads)]
    for title, notes in (("not measured", ledger.missing), ("failed", ledger.failed)):
        lines += [f"{title}: {what}: {why}" for what, why in notes.items()]
    return "\n".join(lines).strip("\n")


def _measured(ledger: Ledger) -> Iterator[str]:
    heading = ""
    for section in SECTIONS:
        rows = list(_parts(ledger, section) if section.parts else _subjects(ledger, section))
        if not rows:
            continue
        if section.workload != heading:
            yield from ("", f"{section.workload} {WORKLOADS[section.workload]}")
            heading = section.workload
        yield from _aligned([[section.title, *(column.head for column in section.columns)], *rows])


def _subjects(ledger: Ledger, section: Section) -> Iterator[list[str]]:
    for subject in ledger.subjects(section.columns[0].metric):
        yield [ledger.names[subject], *(_cell(ledger, column, column.metric, subject) for column in section.columns)]


def _parts(ledger: Ledger, section: Section) -> Iterator[list[str]]:
    for label, part in section.parts:
        cells = [_cell(ledger, column, column.metric.format(part), column.subject) for column in section.columns]
        if set(cells) != {_NOTHING}:
            yield [label, *cells]


def _cell(ledger: Ledger, column: Column, metric: str, subject: str) -> str:
    if column.against:
        value = ledger.ratio(Figure(metric, subject), Figure(metric, column.against))
    else:
        value = ledger.value(metric, subject)
    return _NOTHING if value is None else f"{value * column.scale:,.{column.digits}f}"


def _targets(ledger: Ledger, workloads: Collection[str]) -> Iterator[str]:
    rows = [["Figures to reach", "", "", "measured", ""]]
    for target in (target for target in TARGETS if target.workload in workloads):
        value = target.measured(ledger)
        bound = f"{'>=' if target.at_least else '<='} {target.limit:g}"
        if value is None:
            shown = [_NOTHING, "not measured"]
        else:
            shown = [
                f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
                "reached" if target.reached(value) else "NOT REACHED",
            ]
        rows.append([f"{target.workload} {target.side}", target.what, bound, *shown])
    yield from _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Set the first column to the left and the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join(["  " + first.ljust(widths[0]), *cells]).rstrip()
