"""Hunts planted bugs: every check passes on the code as it is, and one of a bug's at least fails with the bug in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .catalogue import KINDS, Bug
from .planting import Check, Outcome, Verdict, copied, plant


@dataclass(frozen=True, slots=True)
class Find:
    """What came of all checks of one bug, by kind."""

    bug: Bug
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def caught_by(self) -> dict[str, Outcome]:
        """The outcomes of the checks that caught it."""
        return {kind: one for kind, one in self.outcomes.items() if one.verdict is Verdict.CAUGHT}

    @property
    def missed_by(self) -> dict[str, Outcome]:
        """The outcomes of the checks that should have caught it and did not."""
        return {kind: one for kind, one in self.outcomes.items() if one.verdict is not Verdict.CAUGHT}

    def how(self) -> str:
        """Say by which kinds it was caught, by what and in how many seconds."""
        return "; ".join(f"by {kind}: {one.by} in {one.seconds:.0f} s" for kind, one in self.caught_by.items())

    def how_not(self) -> str:
        """Say which kinds missed it, and what came of them instead."""
        missed = self.missed_by.items()
        return "; ".join(f"{kind}: {one.verdict} {one.detail[-300:]}".strip() for kind, one in missed)

    def complaints(self) -> list[str]:
        """Return what is wrong: a bug nobody catches, or a patch or check that is no good."""
        again = f"python -m tests.planted {self.bug.patch}"
        useless = {kind: one for kind, one in self.missed_by.items() if one.verdict is not Verdict.SURVIVED}
        if not self.caught_by:
            return [f"{self.bug.patch} is caught by nothing ({self.how_not() or 'no check is named'}): {again}"]
        return [
            f"{self.bug.patch} by {kind}: {one.verdict} {one.detail[-300:]}: {again}" for kind, one in useless.items()
        ]


def hunt(bug: Bug, *, kinds: Iterable[str] = KINDS, below: Path | None = None) -> Find:
    """Plant a bug and run its checks of these kinds."""
    find = Find(bug)
    for check in bug.checks():
        if check.kind in kinds:
            find.outcomes[check.kind] = plant(bug.file, check, hangs=bug.hangs, below=below)
    return find


def false_alarms(bugs: Iterable[Bug], *, kinds: Iterable[str] = KINDS, below: Path | None = None) -> list[str]:
    """Run the checks of these bugs on the code as it is, each once; returns a complaint for each that does not pass."""
    alarms = []
    with copied(below) as copy:
        for check in together(check for bug in bugs for check in bug.checks() if check.kind in kinds):
            outcome = copy.run(check)
            if outcome.verdict is not Verdict.SURVIVED:
                said = f"{outcome.verdict} {outcome.by} {outcome.detail[-300:]}"
                alarms.append(f"without any bug {check.kind} does not pass: {said}: {' '.join(check.arguments)}")
    return alarms


def together(checks: Iterable[Check]) -> list[Check]:
    """Return the same checks, each once; all tests of one kind as one check."""
    tests: dict[str, Check] = {}
    others: dict[Check, None] = {}
    for check in checks:
        if not check.is_pytest:
            others[check] = None
            continue
        known = tests.get(check.kind)
        names = check.arguments if known is None else (*known.arguments, *check.arguments)
        limit = check.seconds if known is None else known.seconds + check.seconds
        tests[check.kind] = Check(check.kind, tuple(dict.fromkeys(names)), limit)
    return [*tests.values(), *others]
