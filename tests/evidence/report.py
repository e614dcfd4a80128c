"""Judge what is there against what is wanted, and write it down for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.evidence.figures import Figure, Size, figures_of
from tests.evidence.markdown import duration, number, sections, table
from tests.evidence.parts import Part
from tests.evidence.store import Store
from tests.evidence.summary import Summary, problems, summarize
from tests.evidence.trees import state_of

NOT_COVERED: Final = Path(__file__).with_name("not_covered.md")


@dataclass(frozen=True)
class Report:
    """Everything that is known of the code as it is now, held against the figures of one size."""

    size: Size
    summaries: tuple[Summary, ...]
    figures: tuple[Figure, ...]

    @property
    def missed(self) -> list[str]:
        """The figures that were not reached."""
        return [
            f"{figure.part}: {figure.what}: {found:,} of {figure.wanted(self.size):,}"
            for figure, found in self._found()
            if found < figure.wanted(self.size)
        ]

    @property
    def problems(self) -> list[str]:
        """What refutes the evidence, or leaves it open."""
        return [f"{summary.part.name}: {problem}" for summary in self.summaries for problem in problems(summary)]

    def markdown(self) -> str:
        """Return the report for people: what is wanted and what was found first, then part by part."""
        blocks = [
            _HEAD.format(size=self.size),
            self._verdict(),
            self._figures_table(),
            "## What ran",
            self._runs_table(),
            *self._machines(),
            *(block for summary in self.summaries for block in sections(summary)),
            NOT_COVERED.read_text(encoding="utf-8").strip(),
        ]
        return "\n\n".join(blocks) + "\n"

    def json(self) -> bytes:
        """Return the same for machines."""
        document = {
            "size": self.size,
            "problems": self.problems,
            "missed": self.missed,
            "figures": [
                {"part": figure.part, "what": figure.what, "wanted": figure.wanted(self.size), "found": found}
                for figure, found in self._found()
            ],
            "parts": [_as_json(summary) for summary in self.summaries],
        }
        return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n"

    def _found(self) -> list[tuple[Figure, int]]:
        return [
            (figure, figure.measure(summary.record))
            for summary in self.summaries
            for figure in figures_of(summary.part.name, self.figures)
        ]

    def _verdict(self) -> str:
        if not self.problems:
            return "**No violation was found**, every part ran, and every listed invariant was checked."
        return "\n".join(["**Refuted or open:**", "", *(f"- {problem}" for problem in self.problems)])

    def _figures_table(self) -> str:
        rows = [
            [figure.part, figure.what, number(wanted), number(found), _word(found >= wanted)]
            for figure, found in self._found()
            if (wanted := figure.wanted(self.size))
        ]
        return table(["part", "figure", "wanted", "found", ""], rows)

    def _runs_table(self) -> str:
        rows = [
            [
                one.part.name,
                number(one.slices),
                duration(one.record.seconds),
                " to ".join(dict.fromkeys((one.days[0], one.days[-1]))) if one.days else "never",
                ", ".join(f"`{commit[:10]}`" for commit in one.commits),
                f"`{one.state.key}`",
            ]
            for one in self.summaries
        ]
        return table(["part", "slices", "time", "when", "at commit", "covered files"], rows)

    def _machines(self) -> list[str]:
        machines = dict.fromkeys(machine for summary in self.summaries for machine in summary.machines)
        return [
            f"On {one.cores} cores, {one.memory_gib} GiB, Python {one.python}, {one.kernel}; not on them alone."
            for one in machines
        ]


def gather(root: Path, store: Store, parts: tuple[Part, ...], size: Size, figures: tuple[Figure, ...]) -> Report:
    """Add up what is there for the code as it is now."""
    return Report(size, tuple(summarize(store, part, state_of(root, part.pathspec)) for part in parts), figures)


def _word(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        "part": summary.part.name,
        "state": summary.state.key,
        "covers": summary.part.pathspec,
        "commits": summary.commits,
        "slices": summary.slices,
        "slices_before_their_commit": summary.before_its_commit,
        "seeds": summary.seeds,
        "failed": {str(seed): why for seed, why in summary.failed.items()},
        "failed_and_passed_when_repeated": {str(seed): why for seed, why in summary.repaired.items()},
        "days": summary.days,
        "machines": summary.machines,
        "record": summary.record,
    }


_HEAD: Final = """\
# Evidence

What was done to refute LockManager, and what came of it. `make evidence SIZE={size}` goes on where this ends, and
writes this file; the same numbers for machines are in `EVIDENCE.json`. Everything drawn is drawn from seeds:
`python -m tests.evidence slice PART --seconds S --seed N` repeats one slice. Slices are added up as long as the files
a part covers stay the same, whatever else a commit changes; no seed counts twice."""
