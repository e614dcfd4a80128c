"""Evidence for the checkers: fresh valid histories, which both must accept, and broken ones, which they must refuse.

`python -m tests.chaos.checking.evidence SEED` does one of them again and says what each checker finds.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.chaos.checking import exhaustive, fences
from tests.chaos.checking.damage import DAMAGES, LOCK_DAMAGES, damaged
from tests.chaos.checking.generate import Shape, valid_history
from tests.chaos.checking.verdict import Verdict
from tests.chaos.history import History
from tests.evidence.record import Record

PART = "checker"
_COMMAND = "python -m tests.chaos.checking.evidence"


class Trial(NamedTuple):
    """One history and what must be said of it; `damage` is empty for a valid one."""

    seed: int
    damage: str
    history: History
    one_pass: Verdict
    searched: Verdict

    @property
    def incomplete(self) -> bool:
        """Say whether the exhaustive checker left something out, and so may have missed the damage."""
        return self.searched.counts["left out"] + self.searched.counts["undecided"] > 0

    def wrongs(self) -> Iterator[str]:
        """Tell of each checker that was wrong."""
        if self.one_pass.holds is bool(self.damage):
            yield self._tell("the checker in one pass", self.one_pass)
        must_refuse = self.damage in LOCK_DAMAGES
        if self.searched.holds is must_refuse and not (must_refuse and self.incomplete):
            yield self._tell("the exhaustive checker", self.searched)

    def _tell(self, checker: str, verdict: Verdict) -> str:
        what = f"a history with {self.damage}" if self.damage else "a valid history"
        said = "accepts it" if verdict.holds else f"refuses it: {verdict.violations[0]}"
        return f"{what}, {checker} {said}; {_COMMAND} {self.seed}"


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Try pairs of histories, one to be valid and one to be broken."""
    started = time.monotonic()
    chance = Random(seed)
    counts: Counter[str] = Counter()
    violations: dict[str, list[str]] = {}
    while time.monotonic() - started < seconds:
        even = 2 * chance.randrange(2**48)
        for trial in (attempt(even), attempt(even + 1)):
            counts.update(_counts(trial))
            violations.setdefault(trial.damage, []).extend(trial.wrongs())
    return Record(
        part=PART,
        seconds=time.monotonic() - started,
        counts=dict(counts),
        violations=[sentence for sentences in violations.values() for sentence in sentences],
        passed={f"damage/{kind}": _how(kind) for kind, wrongs in violations.items() if kind and not wrongs},
    )


def attempt(seed: int) -> Trial:
    """Make the history of a seed and judge it; an odd seed asks for a damage, any that the history has a place for."""
    chance = Random(seed)
    history = valid_history(chance.randrange(2**48), _shape(chance))
    kinds = chance.sample(list(DAMAGES), len(DAMAGES)) if seed % 2 else []
    attempts = ((kind, damaged(history, kind, seed)) for kind in kinds)
    damage, judged = next(((kind, broken) for kind, broken in attempts if broken), ("", history))
    return Trial(seed, damage, judged, fences.check(judged), exhaustive.check(judged))


def _shape(chance: Random) -> Shape:
    return Shape(
        clients=chance.randint(2, 8),
        locks=chance.randint(1, 3),
        rounds=chance.randint(2, 12),
        shared=chance.choice([0.0, 0.2, 0.5, 0.8]),
        trouble=chance.choice([0.0, 0.02, 0.06, 0.2]),
    )


def _counts(trial: Trial) -> dict[str, int]:
    kind = {f"damage/{trial.damage}": 1, "histories/broken": 1} if trial.damage else {"histories/valid": 1}
    return kind | {
        "operations": trial.one_pass.counts["operations"],
        "searched/lock operations": trial.searched.counts["operations"],
        "searched/decided": trial.searched.counts["searched"],
        "searched/left out": trial.searched.counts["left out"],
        "searched/undecided": trial.searched.counts["undecided"],
    }


def _how(kind: str) -> str:
    return "refused by both checkers" if kind in LOCK_DAMAGES else "refused by the checker in one pass"


def main(seed: int) -> int:
    """Do one trial again; returns an exit status."""
    trial = attempt(seed)
    print(f"{len(trial.history.events)} events, damage: {trial.damage or 'none'}")
    for name, verdict in (("one pass", trial.one_pass), ("exhaustive", trial.searched)):
        print(f"{name}: {verdict.counts}", *verdict.violations, sep="\n  ")
    wrongs = list(trial.wrongs())
    print(*wrongs, sep="\n")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
