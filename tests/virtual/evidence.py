"""Cancels calls in ever new weather, lets clients contend in it, and adds up what was found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from tests.evidence.record import Record
from tests.virtual.contest import Result, contest
from tests.virtual.matrix import VIOLATIONS_LIMIT, Tally, every_suspension, every_turn, twice
from tests.virtual.verbs import VERBS

PART: Final = "cancellation"
_SEEDS_OF_A_SLICE: Final = 1_000_000


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run seeds that no other slice runs, for about so many seconds: all verbs in both weathers, then a contest."""
    del directory
    began = time.monotonic()
    tally, contests = Tally(), Contests()

    def over() -> bool:
        return time.monotonic() - began >= seconds or len(tally.violations) >= VIOLATIONS_LIMIT

    for one in count(seed * _SEEDS_OF_A_SLICE):
        for verb, rough in _turns(one):
            tally.strike_all(verb, one, every_suspension, every_turn, twice, rough=rough, until=over)
            if over():
                break
        contests.run(one)
        if over():
            break
    violations = (tally.violations + contests.violations)[:VIOLATIONS_LIMIT]
    counts = _counts(tally, contests)
    return Record(part=PART, seconds=time.monotonic() - began, counts=counts, violations=violations)


def _turns(seed: int) -> Iterator[tuple[str, bool]]:
    """Begin with another verb and weather for each seed, so that a short slice is not always the same."""
    pairs = [(verb, rough) for rough in (True, False) for verb in VERBS]
    begin = seed * 7 % len(pairs)
    yield from pairs[begin:] + pairs[:begin]


class Contests:
    """What several contests found together."""

    def __init__(self) -> None:
        self.runs = 0
        self.grants = 0
        self.checks: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []

    def run(self, seed: int) -> Result:
        """Run one contest and add up what it found."""
        result = contest(seed)
        self.runs += 1
        self.grants += result.grants
        self.checks.update(result.findings.checks)
        self.faults.update(result.faults)
        again = f"python -m tests.virtual --contest --seed {seed}"
        self.violations += (f"{complaint}; again with: {again}" for complaint in result.findings.complaints)
        return result


def _counts(tally: Tally, contests: Contests) -> dict[str, int]:
    faults, checks = tally.faults + contests.faults, tally.checks + contests.checks
    return {
        "runs": tally.runs + contests.runs,
        "awaits": tally.awaits,
        "contests": contests.runs,
        "grants": contests.grants,
        "cancelled twice": tally.struck_twice,
        **{f"cancellations/{verb}": tally.struck[verb] for verb in VERBS},
        **{f"faults/{kind}": fired for kind, fired in sorted(faults.items())},
        **{f"checks/{what}": times for what, times in sorted(checks.items())},
    }
