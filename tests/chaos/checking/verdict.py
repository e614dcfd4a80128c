"""What a checker says: how much it looked at, and what it found."""

from __future__ import annotations

from collections import Counter
from typing import Self

import msgspec

from tests.chaos.history import FOREVER


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`counts` add up over histories; each violation is a sentence that names lock, clients, operations and times."""

    counts: dict[str, int]
    violations: list[str]

    @property
    def holds(self) -> bool:
        """Say whether nothing was found; what was looked at for that is in `counts`."""
        return not self.violations

    def __add__(self, other: Self) -> Verdict:
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Verdict(counts=dict(counts), violations=self.violations + other.violations)


def tell(begin: int, end: int) -> str:
    """Name a stretch of time, in seconds of the clock of the history."""
    return f"{begin / 1e9:.9f}..{'open' if end == FOREVER else f'{end / 1e9:.9f}'}"
