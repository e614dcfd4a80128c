"""The book of one run: what was measured of whom in which round. Pure.

Figures of one round belong together: a ratio is taken within each round, and the median over the rounds is told, so
that a machine that is busy now and then is unfair to nobody.
"""

from __future__ import annotations

import statistics
from typing import Any, Final, NamedTuple

_SUMMED: Final = (".overtakings", ".failures")
"""Metrics of which every single event counts."""


class Figure(NamedTuple):
    """One metric of one subject, such as `w1.p50` of `ours`."""

    metric: str
    subject: str


class Ledger:
    """What was measured; `names` are what people call the subjects, in the order of the table."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        """Who could not take part, and why."""
        self.failed: dict[str, str] = {}
        """Which workload of whom ended in an error, and which."""
        self.servers: dict[str, int] = {}
        """How many server processes each of them has."""
        self._rounds: dict[Figure, dict[int, float]] = {}

    def add(self, turn: int, metric: str, subject: str, value: float) -> None:
        """Enter what round `turn` gave."""
        self._rounds.setdefault(Figure(metric, subject), {})[turn] = value

    def value(self, metric: str, subject: str) -> float | None:
        """Return the median over the rounds (of events the sum), or None when it was not measured."""
        values = list(self._rounds.get(Figure(metric, subject), {}).values())
        if not values:
            return None
        return sum(values) if metric.endswith(_SUMMED) else statistics.median(values)

    def ratio(self, above: Figure, below: Figure) -> float | None:
        """Return the median of the ratios within each round that measured both; None when there is none."""
        tops, bottoms = self._rounds.get(above, {}), self._rounds.get(below, {})
        ratios = [tops[turn] / bottoms[turn] for turn in tops.keys() & bottoms.keys() if bottoms[turn]]
        return statistics.median(ratios) if ratios else None

    def subjects(self, metric: str) -> list[str]:
        """Return who was measured in this metric, in the order of the table."""
        return [subject for subject in self.names if Figure(metric, subject) in self._rounds]

    def as_json(self) -> list[dict[str, Any]]:
        """Return every figure with the values of all its rounds."""
        return [
            {
                "metric": figure.metric,
                "subject": figure.subject,
                "value": self.value(*figure),
                "rounds": [rounds[turn] for turn in sorted(rounds)],
            }
            for figure, rounds in sorted(self._rounds.items())
        ]
