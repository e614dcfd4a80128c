"""Cancels calls in ever new weather, lets clients contend in it, and adds up what was found."""

from __future__ import annotations

import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Final

from tests.evidence.record import Record
from tests.virtual.contest import Result, contest
from tests.virtual.findings import CHECKS, Check
from tests.virtual.matrix import VIOLATIONS_LIMIT, Tally, every_suspension, every_turn, twice
from tests.virtual.striking import Case
from tests.virtual.verbs import VERBS

PART: Final = "cancellation"
_SEEDS_OF_A_SLICE: Final = 1_000_000
_PAIRS: Final = [(verb, rough) for rough in (True, False) for verb in VERBS]
_STRIDE: Final = 31
"""A slice begins so many verbs after the slice before, so that short ones do not all strike the same."""


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run seeds that no other slice runs, for about so many seconds: a verb at all its points, a contest, and so on.

    It begins with every verb in peace, so that each slice looks at everything there is to look at.
    """
    del directory
    began = time.monotonic()
    tally, contests = Tally(), Contests()

    def over() -> bool:
        return time.monotonic() - began >= seconds or len(tally.violations) >= VIOLATIONS_LIMIT

    for verb in VERBS:
        tally.play(Case(verb, (seed + 1) * _SEEDS_OF_A_SLICE - 1))
    for number in count():
        one = seed * _SEEDS_OF_A_SLICE + number
        verb, rough = _PAIRS[(seed * _STRIDE + number) % len(_PAIRS)]
        tally.strike_all(verb, one, every_suspension, every_turn, twice, rough=rough, until=over)
        contests.run(one)
        if over():
            break
    violations = (tally.violations + contests.violations)[:VIOLATIONS_LIMIT]
    counts = _counts(tally, contests)
    return Record(part=PART, seconds=time.monotonic() - began, counts=counts, violations=violations)


class Contests:
    """What several contests found together."""

    def __init__(self) -> None:
        self.runs = 0
        self.grants = 0
        self.checks: Counter[Check] = Counter()
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
        **{f"checks/{what}": checks[what] for what in CHECKS},
    }
