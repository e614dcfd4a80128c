"""Runs simulations seed after seed, and adds up what they found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.evidence.record import Record
from tests.simulation.findings import INVARIANTS, Broken
from tests.simulation.kinds import KINDS
from tests.simulation.world import FROM_THE_START, World

PART = "simulation"
VIOLATIONS_LIMIT = 20
_EVERY_KIND = (*KINDS, *FROM_THE_START)


@dataclass(slots=True)
class Tally:
    """What several runs found together."""

    seeds: int = 0
    faultless: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_EVERY_KIND, 0)))
    checks: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(INVARIANTS, 0)))
    violations: list[str] = field(default_factory=list)

    def run(self, seed: int) -> None:
        """Run one seed; a violation is noted, and the next seed may be run."""
        world = World(seed)
        try:
            world.run()
        except Broken as broken:
            self.violations.append(f"{broken}; again with: python -m tests.simulation --seeds {seed}")
        self.seeds += 1
        self.faultless += world.faultless
        self.seen.update(world.findings.seen)
        self.faults.update(world.findings.faults)
        self.checks.update(world.findings.checks)

    def counts(self) -> dict[str, int]:
        """Return everything that was counted, under the names of the evidence."""
        return {
            "seeds": self.seeds,
            "seeds without faults": self.faultless,
            **{what: self.seen[what] for what in sorted(self.seen)},
            **{f"faults/{kind}": fired for kind, fired in self.faults.items()},
            **{f"checks/{invariant}": times for invariant, times in self.checks.items()},
        }


def run_seeds(
    seeds: Iterable[int], *, until_violation: bool = False, until: Callable[[], bool] = lambda: False
) -> Tally:
    """Run seed after seed, at least one, until there are no more, or enough violations, or `until` says so."""
    tally, limit = Tally(), 1 if until_violation else VIOLATIONS_LIMIT
    for seed in seeds:
        tally.run(seed)
        if len(tally.violations) >= limit or until():
            break
    return tally


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run this seed and those after it, for about so many seconds."""
    del directory
    began = time.monotonic()
    tally = run_seeds(count(seed), until=lambda: time.monotonic() - began >= seconds)
    return Record(part=PART, seconds=time.monotonic() - began, counts=tally.counts(), violations=tally.violations)
