"""What a run found: how often each thing was looked at, and what was seen that must not be."""

from __future__ import annotations

from collections import Counter
from typing import Final

INVARIANTS: Final = (
    "exclusion",
    "fence rises",
    "node exclusion",
    "node rule",
    "renewal never shortens",
    "acknowledged is kept",
    "relied on is kept",
    "no late message",
    "first in first out",
    "overtakings bounded",
    "no lost wake-up",
    "progress after healing",
    "no leak",
    "memory back to baseline",
    "no false loss",
    "no yield while held",
    "no stale write",
    "nothing unexpected",
)
"""Everything that is checked; one that was never looked at has not been shown."""


class Broken(AssertionError):
    """The run found what must not happen."""


class Findings:
    """Counters of one run. A violation ends it."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.notes: list[str] = []

    def check(self, invariant: str, holds: bool, *words: object) -> None:
        """Note that an invariant was looked at; raises Broken when it does not hold. Words that cost are callables."""
        self.checks[invariant] += 1
        if not holds:
            self.break_(invariant, *words)

    def looked(self, invariant: str, times: int = 1) -> None:
        """Note that an invariant was looked at and held."""
        self.checks[invariant] += times

    def break_(self, invariant: str, *words: object) -> None:
        """Report what must not happen."""
        said = (word() if callable(word) else word for word in words)
        raise Broken(f"{invariant}: {' '.join(map(str, said))}")
