"""The planted bugs as a part of the evidence: each slice hunts a portion of the catalogue, which its seed chooses.

Slices whose seeds follow each other hunt portions that follow each other, so that as many as it takes hunt all.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.evidence.record import Record
from tests.evidence.store import SEEDS_PER_SLICE

from .catalogue import Bug, catalogue
from .hunting import Find, false_alarms, hunt

SECONDS_PER_BUG: Final = 20
"""About how long the checks of one bug take, with and without it."""


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Hunt the portion of the catalogue that belongs to a seed; each bug of it is hunted however long that takes."""
    began = time.monotonic()
    bugs = portion(catalogue(), seconds, seed)
    violations = false_alarms(bugs, below=directory)
    finds = [hunt(bug, below=directory) for bug in bugs]
    return Record(
        part="planted",
        seconds=time.monotonic() - began,
        counts=dict(_counts(finds)),
        violations=[*violations, *(complaint for find in finds for complaint in find.complaints())],
        facts={f"{find.bug.patch} is missed": f"by {', '.join(find.missed_by)}" for find in finds if find.missed_by},
        passed={find.bug.patch: find.how() for find in finds if find.caught_by},
    )


def portion(bugs: list[Bug], seconds: float, seed: int) -> list[Bug]:
    """Return the bugs that a slice of so many seconds hunts, in a ring over all."""
    size = min(len(bugs), max(1, int(seconds / SECONDS_PER_BUG)))
    first = seed // SEEDS_PER_SLICE * size
    return [bugs[(first + n) % len(bugs)] for n in range(size)]


def _counts(finds: list[Find]) -> Counter[str]:
    counts = Counter({"planted": len(finds), "caught": 0, "caught_twice": 0})
    for find in finds:
        counts["caught"] += len(find.caught_by) > 0
        counts["caught_twice"] += len(find.caught_by) > 1
        counts.update(f"caught/{kind}" for kind in find.caught_by)
    return counts
