"""The matrix of cancellations: every verb, cancelled at every point of its way, and what was found in all of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.virtual.findings import Check
from tests.virtual.striking import Blow, Case, Outcome, play

VIOLATIONS_LIMIT: Final = 20

Blows = Callable[[Outcome], Iterable[Blow]]
"""Chooses where to strike a call, knowing how it goes when nobody does."""


def every_suspension(calm: Outcome) -> Iterator[Blow]:
    """Strike at each await, right after it began and when what it waits for completes."""
    for suspension in range(1, calm.suspensions + 1):
        yield Blow(suspension)
        yield Blow(suspension, late=True)


def every_turn(calm: Outcome, *, at_most: int = 1_000) -> Iterator[Blow]:
    """Strike between turns of the loop, so between any two things that happen anywhere; of a long call some."""
    step = 1 + calm.turns // at_most
    return (Blow(turn=turn) for turn in range(1, calm.turns + 1, step))


def twice(calm: Outcome, *, after: Iterable[int] = (1, 2, 4)) -> Iterator[Blow]:
    """Strike at each await, and again some turns later, while the first cancellation is still being dealt with."""
    for blow in every_suspension(calm):
        yield from (Blow(blow.suspension, blow.late, again=turns) for turns in after)


@dataclass
class Tally:
    """What several runs found together. `struck` counts the cancellations that found somebody, by verb."""

    runs: int = 0
    cases: int = 0
    awaits: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    struck_twice: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    checks: Counter[Check] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def play(self, case: Case) -> Outcome:
        """Run one case and add up what it found."""
        outcome = play(case)
        self.runs += 1
        self.struck[case.verb] += outcome.struck > 0
        self.struck_twice += outcome.struck > 1
        self.faults.update(outcome.faults)
        self.checks.update(outcome.findings.checks)
        self.violations += (f"{complaint}; again with: {case}" for complaint in outcome.findings.complaints)
        return outcome

    def strike_all(
        self,
        verb: str,
        seed: int,
        *blows: Blows,
        rough: bool = False,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run a verb once in peace, and once for each blow; ends early when `until` says so."""
        calm = self.play(Case(verb, seed, rough))
        self.awaits += calm.suspensions
        for choose in blows:
            for blow in choose(calm):
                if until() or len(self.violations) >= VIOLATIONS_LIMIT:
                    return
                self.cases += 1
                self.play(Case(verb, seed, rough, blow))
