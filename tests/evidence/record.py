"""What one run of one part of the evidence found: numbers that add up over runs, violations, and facts.

Each part (simulation, model, chaos, ...) has a module `evidence` with `run`, which works for about so many seconds,
derives everything it draws from the seed, and returns a `Record`. Records of the same part and the same code are added
up, so a part may be run in as many slices as one likes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec

_ABOVE_THE_TREE: Final = re.compile(
    r"(?<![\w./-])/(?:[\w.+@-]+/)+?(?=(?:node/lockmanager_node|coordinator/lockmanager|tests)/)"
)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a part, or several added up.

    `counts` are added up; a name with a slash belongs to a table ("faults/partition", "checks/exclusion").
    `violations` say what must not happen and did, each with what reproduces it; evidence with any is refuted.
    `facts` hold for the part as a whole (bounds of a model, a version): the newest word counts.
    `passed` names the single checks that were made and held, such as a planted bug that was caught, each with how.
    """

    part: str
    seconds: float
    counts: dict[str, int] = {}
    violations: list[str] = []
    facts: dict[str, str] = {}
    passed: dict[str, str] = {}

    @classmethod
    def sum(cls, part: str, records: Iterable[Self]) -> Self:
        """Add up the records of one part."""
        counts: Counter[str] = Counter()
        total = 0.0
        violations: list[str] = []
        facts: dict[str, str] = {}
        passed: dict[str, str] = {}
        for record in records:
            total += record.seconds
            counts.update(record.counts)
            violations += map(without_place, record.violations)
            facts |= record.facts
            passed |= {name: without_place(how) for name, how in record.passed.items()}
        return cls(part=part, seconds=total, counts=dict(counts), violations=violations, facts=facts, passed=passed)


def without_place(words: str) -> str:
    """Return what a check said with its files named from the top of the tree, wherever that lay when it ran."""
    return _ABOVE_THE_TREE.sub("", words)


class Run(Protocol):
    """One slice of a part: about `seconds` long, everything drawn from `seed`, files only below `directory`."""

    def __call__(self, *, seconds: float, seed: int, directory: Path) -> Record:
        """Return what was found; raises only when the part cannot run at all here, and says why."""
        ...
