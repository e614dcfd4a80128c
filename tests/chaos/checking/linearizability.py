"""Checks exhaustively whether some order of the operations of a small history explains it.

Each operation takes effect at one instant between its begin and its end. The search is that of J. M. Wing and C. Gong,
"Testing and verifying concurrent objects" (Journal of Parallel and Distributed Computing 17, 1993): take any operation
that no other one had to come before, follow the model, and go back where it says no. It remembers every pair of
operations taken and state reached, as G. Lowe does in "Testing for linearizability" (Concurrency and Computation:
Practice and Experience 29, 2017), and so never follows one twice. It ends a lease that ran out as one more operation,
which may happen from then on or never; so may what is ambiguous.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from enum import Enum, auto
from operator import attrgetter
from typing import Final

from tests.chaos.checking.models import UNOWNED, Model, Start, Step
from tests.chaos.history import FOREVER

MOST_STATES: Final = 300_000
"""A search that reaches more is given up, and said to be undecided."""


class Answer(Enum):
    """What a search found."""

    YES = auto()
    NO = auto()
    UNDECIDED = auto()


def linearizable(steps: Sequence[Step], model: Model, start: Start, most_states: int = MOST_STATES) -> Answer:
    """Search for an order of all steps that must have happened, and of any of the others, which the model allows."""
    search = _Search(steps, model)
    first = (0, model.begin(start))
    seen = {first}
    pending = [first]
    while pending:
        taken, state = pending.pop()
        if not search.missing(taken):
            return Answer.YES
        if len(seen) > most_states:
            return Answer.UNDECIDED
        for following in search.follow(taken, state):
            if following not in seen:
                seen.add(following)
                pending.append(following)
    return Answer.NO


class _Search:
    """The steps that may come next, given those taken: a set of bits, by place in the order of begin."""

    def __init__(self, steps: Sequence[Step], model: Model) -> None:
        self._steps, self._model = sorted(steps, key=attrgetter("begin")), model
        self._required = sum(1 << number for number, step in enumerate(self._steps) if step.end != FOREVER)
        acquired = {step.lease: 1 << number for number, step in enumerate(self._steps) if step.kind == "acquire"}
        never = 1 << len(steps)
        self._needed = [
            0 if step.kind == "acquire" else never if step.lease == UNOWNED else acquired.get(step.lease, 0)
            for step in self._steps
        ]
        """Per step, what must be taken before: whoever releases a lease had acquired it, if not before all steps."""

    def missing(self, taken: int) -> bool:
        return bool(self._required & ~taken)

    def follow(self, taken: int, state: Hashable) -> Iterator[tuple[int, Hashable]]:
        """Yield what may come next, the most promising last: the step that had to be over first."""
        for number in sorted(self._candidates(taken), key=lambda number: -self._steps[number].end):
            after = self._model.take(state, self._steps[number])
            is_idle = after == state and not self._required >> number & 1
            if after is not None and not is_idle:
                yield taken | 1 << number, after

    def _candidates(self, taken: int) -> list[int]:
        """Return those that began before any one not yet taken was over."""
        earliest_end = FOREVER
        found = []
        for number, step in enumerate(self._steps):
            if taken >> number & 1:
                continue
            if step.begin > earliest_end:
                break
            earliest_end = min(earliest_end, step.end)
            if self._needed[number] & ~taken == 0:
                found.append(number)
        return found
