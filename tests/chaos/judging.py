"""Judges what a run left: histories by their fences and by exhaustive search, the control by the updates it lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from tests.chaos.checking import exhaustive, fences
from tests.chaos.checking.verdict import Verdict
from tests.chaos.history import Event, History, Recorder, now, read_history
from tests.chaos.resource import KINDS, Totals

CHECKED, UNCHECKED = KINDS
_LOOKS: Final = ("leases", "pairs", "reads", "writes", "last looks", "searched")
"""What checkers count that was looked at; the rest is what they found, or left out."""

_MOST_TOLD: Final = 20


class Judgement:
    """What was found: numbers that add up, and sentences about what must not be."""

    def __init__(self, directory: Path, totals: dict[str, Totals], stale_writes: int) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._directory = directory
        self._totals = totals
        self._stale_writes = stale_writes

    def judge(self) -> None:
        """Look at everything; the longest part is the search."""
        history = read_history(self._directory / CHECKED)
        self._tell(history)
        self._hold("fences", fences.check(history))
        self._hold("linearizability", exhaustive.check(history))
        self._control(history)

    def _tell(self, history: History) -> None:
        """Count what clients did."""
        for event in history.events:
            if event.kind == "acquire" and event.phase != "begin":
                sort = event.lock.partition("/")[0]
                self.counts["cycles" if event.phase == "ok" else f"not acquired/{event.note}"] += 1
                self.counts[f"cycles/{sort}"] += event.phase == "ok"
            self.counts["leases lost"] += event.kind == "lost"
        begun = sum(event.phase == "begin" for event in history.events)
        ended = sum(event.phase in ("ok", "fail") and event.kind != "lost" for event in history.events)
        self.counts["ambiguous"] += begun - ended

    def _hold(self, checker: str, verdict: Verdict) -> None:
        """Take over what a checker said: what it looked at are checks, and none of them may be left out."""
        for what, count in verdict.counts.items():
            self.counts[f"{'checks/' if what in _LOOKS else ''}{checker}: {what}"] += count
        self.violations += [f"{checker}: {sentence}" for sentence in verdict.violations[:_MOST_TOLD]]

    def _control(self, history: History) -> None:
        """Compare both resources: in the one that does not check fences, the harness must see lost updates."""
        checked, unchecked = self._totals[CHECKED], self._totals[UNCHECKED]
        seen = fences.check(self._without_check(history))
        self.counts["lost_updates/checked"] += checked.lost
        self.counts["lost_updates/unchecked"] += unchecked.lost
        self.counts["violations seen without the fence check"] += seen.counts["violations"]
        self.counts["refused_stale_writes"] += checked.refused
        if checked.lost:
            self.violations.append(f"the resource that checks fences lost {checked.lost} updates: {checked}")
        if self._stale_writes and (not unchecked.lost or seen.holds):
            self.violations.append(
                f"the harness cannot see: {self._stale_writes} stale writes were made; without the fence check "
                f"{unchecked.lost} updates were lost, and the checker found {seen.counts['violations']} violations"
            )

    def _without_check(self, history: History) -> History:
        """Return what would have been seen had the locks guarded the other resource."""
        locking = [event for event in history.events if event.kind not in ("read", "write")]
        others = read_history(self._directory / UNCHECKED)
        return History(events=sorted([*locking, *others.events], key=lambda event: event.at), cut=history.cut)


def note_final_values(directory: Path, totals: dict[str, Totals]) -> None:
    """Add to the histories what the counters came to in the end."""
    for kind in KINDS:
        with Recorder(directory / kind, "judge") as recorder:
            for op, (lock, value) in enumerate(totals[kind].values.items(), start=1):
                for phase in ("begin", "ok"):
                    recorder.append(
                        Event(at=now(), client="judge", op=op, kind="read", phase=phase, lock=lock, value=value)
                    )
