"""Add up what the slices of one part found in one state of the code."""

from __future__ import annotations

from dataclasses import dataclass

from tests.evidence.parts import Part
from tests.evidence.record import Record
from tests.evidence.store import Entry, Machine, Store
from tests.evidence.trees import State


@dataclass(frozen=True)
class Summary:
    """What is known of one part in one state of the code."""

    part: Part
    state: State
    record: Record
    entries: tuple[Entry, ...]
    failed: dict[int, str]
    """Seeds whose slices failed and never passed when they were repeated, each with why."""
    repaired: dict[int, str]
    """Seeds whose slices failed at first, and passed when they were repeated."""

    @property
    def slices(self) -> int:
        """How many slices were added up."""
        return sum(len(entry.all_seeds) for entry in self.entries)

    @property
    def seeds(self) -> list[int]:
        """The seeds they were given."""
        return sorted(seed for entry in self.entries for seed in entry.all_seeds)

    @property
    def commits(self) -> list[str]:
        """The commits it ran at, oldest first; the covered files are the same in all of them."""
        return list(dict.fromkeys(entry.commit for entry in self.entries))

    @property
    def before_its_commit(self) -> int:
        """How many slices ran while the covered files were not committed yet."""
        return sum(not entry.committed for entry in self.entries)

    @property
    def days(self) -> list[str]:
        """The days it ran on."""
        return sorted({entry.ended.split()[0] for entry in self.entries})

    @property
    def machines(self) -> list[Machine]:
        return list(dict.fromkeys(entry.machine for entry in self.entries))


def summarize(store: Store, part: Part, state: State) -> Summary:
    """Add up the entries of a part that ran with the covered files as they are now; each seed counts once."""
    entries = [entry for entry in store.entries(part.name) if entry.state == state.key]
    done = {entry.seed: entry for entry in entries if entry.record is not None}
    failures = {entry.seed: entry.failure for entry in entries if entry.record is None}
    return Summary(
        part=part,
        state=state,
        record=Record.sum(part.name, (entry.record for entry in done.values() if entry.record is not None)),
        entries=tuple(done.values()),
        failed={seed: why for seed, why in failures.items() if seed not in done},
        repaired={seed: why for seed, why in failures.items() if seed in done},
    )


def problems(summary: Summary) -> list[str]:
    """Return what refutes the evidence of a part, or leaves it open; figures that were missed are not among them."""
    record = summary.record
    never = [name.removeprefix("checks/") for name, times in record.counts.items() if _is_check(name) and times == 0]
    return [
        *(["it never ran to its end"] if not summary.slices else []),
        *_uncommitted(summary.state.changed),
        *record.violations,
        *(f"the slice with seed {seed} failed: {why}" for seed, why in summary.failed.items()),
        *(f"the invariant {name} was never checked" for name in never),
    ]


def _uncommitted(changed: tuple[str, ...]) -> list[str]:
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return [f"uncommitted changes: {', '.join(changed[:3])}{more}"] if changed else []


def _is_check(name: str) -> bool:
    return name.startswith("checks/")
