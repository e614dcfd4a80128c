"""Runs the exhaustive checker over the slices of a long history, and says how much of it that was."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.checking.linearizability import Answer, linearizable
from tests.chaos.checking.models import FencedMutex, Model, SharedExclusive
from tests.chaos.checking.operations import LockHistory, by_lock
from tests.chaos.checking.slices import ABOUT, MOST, Slice, cut
from tests.chaos.checking.verdict import Verdict, tell
from tests.chaos.history import History


def check(history: History, *, about: int = ABOUT, most: int = MOST, every: int = 1) -> Verdict:
    """Search every slice, or every so many of each lock; BrokenHistory when events contradict each other.

    In `counts`, "searched" of the "operations" were in slices that were decided; "left out" ones were in stretches of
    more than `most`, "undecided" ones in searches that were given up.
    """
    verdict = Verdict(counts={}, violations=[])
    for lock in by_lock(history):
        verdict += check_lock(lock, about=about, most=most, every=every)
    return verdict


def check_lock(lock: LockHistory, *, about: int = ABOUT, most: int = MOST, every: int = 1) -> Verdict:
    """Search the slices of one lock."""
    slicing = cut(lock, about, most)
    total = slicing.left_out + sum(len(each.operations) for each in slicing.slices)
    counts = {"operations": total, "slices": len(slicing.slices), "left out": slicing.left_out}
    return Verdict(counts=counts, violations=[]) + _search(lock.lock, slicing.slices[::every])


def _search(lock: str, slices: Iterable[Slice]) -> Verdict:
    counts = {"searched": 0, "undecided": 0}
    violations = []
    for each in slices:
        answer = linearizable(each.steps, model_for(each), each.start)
        counts["undecided" if answer is Answer.UNDECIDED else "searched"] += len(each.operations)
        if answer is Answer.NO:
            violations.append(f"lock {lock!r}: no order explains {_told(each)}")
    return Verdict(counts=counts, violations=violations)


def model_for(each: Slice) -> Model:
    """Choose the simplest model that knows all operations of a slice."""
    only_exclusive = all(step.exclusive for step in each.steps)
    return FencedMutex() if only_exclusive else SharedExclusive()


def _told(each: Slice) -> str:
    begin = min(operation.begin for operation in each.operations)
    end = max(operation.end for operation in each.operations)
    operations = "; ".join(map(str, each.operations))
    return f"{tell(begin, end)}, from {each.start}: {operations}"
