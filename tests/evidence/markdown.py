"""Write numbers, tables and the section of one part as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.evidence.figures import column
from tests.evidence.record import Record
from tests.evidence.summary import Summary


def number(value: int) -> str:
    """Write a number with thousands apart."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Write a duration in the largest unit of which there is at least one."""
    for unit, length in (("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; a bar inside a cell does not end it."""
    return "\n".join(_line(cells) for cells in (head, ["---"] * len(head), *rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def sections(summary: Summary) -> list[str]:
    """Return the blocks of one part: its numbers, its tables, its single checks, and what speaks against it."""
    record = summary.record
    return [
        f"## {summary.part.title}",
        _origin(summary),
        *_plain(record),
        *(block for name in _tables(record) for block in _table(record, name)),
        *_pairs("fact", record.facts),
        *_pairs("held", record.passed),
        *_against(summary),
    ]


def _origin(summary: Summary) -> str:
    if not summary.slices:
        return "It did not run."
    early = f"; {number(summary.before_its_commit)} ran before the files were committed"
    return (
        f"{number(summary.slices)} slices, {duration(summary.record.seconds)}; their first seeds are "
        f"{_span(summary.seeds)}, and each draws on from its own{early if summary.before_its_commit else ''}."
    )


def _span(seeds: list[int]) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"


def _plain(record: Record) -> list[str]:
    rows = [[name, number(value)] for name, value in record.counts.items() if "/" not in name]
    return [table(["counted", "times"], rows)] if rows else []


def _tables(record: Record) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in record.counts if "/" in name))


def _table(record: Record, name: str) -> list[str]:
    cells = sorted(column(record, name).items())
    return [table([name, "times"], [[what, number(times)] for what, times in cells])]


def _pairs(what: str, pairs: dict[str, str]) -> list[str]:
    return [table([what, "how"], [[name, text] for name, text in sorted(pairs.items())])] if pairs else []


def _against(summary: Summary) -> list[str]:
    lines = [
        *(f"- **violation**: {violation}" for violation in summary.record.violations),
        *(f"- the slice with seed {seed} failed: {why}" for seed, why in summary.failed.items()),
        *(
            f"- the slice with seed {seed} failed, and passed when it was repeated: {why}"
            for seed, why in summary.repaired.items()
        ),
    ]
    return ["\n".join(lines)] if lines else []
