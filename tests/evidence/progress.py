"""How one part gets on in one run: how far it is, which seed is next, and when to leave it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.evidence.figures import Figure, Size
from tests.evidence.parts import Part
from tests.evidence.record import Record
from tests.evidence.store import SEEDS_PER_SLICE, Store
from tests.evidence.summary import summarize
from tests.evidence.trees import State

FAILURES: Final = 3
"""After so many failed slices in one run a part is left alone."""

VIOLATIONS: Final = 20
"""With so many violations a part is left alone: more of them tell nothing new."""

IDLE_SLICES: Final = 4
"""After so many slices in a row that brought no figure further a part is left alone."""


@dataclass(frozen=True)
class Aim:
    """The figures of one part, and the size they are wanted at."""

    figures: tuple[Figure, ...]
    size: Size

    def shares(self, record: Record) -> list[float]:
        return [figure.share(record, self.size) for figure in self.figures]

    def standing(self, record: Record) -> str:
        """Say in one line how far a record is."""
        return "; ".join(
            f"{figure.what}: {figure.measure(record):,} of {figure.wanted(self.size):,}" for figure in self.figures
        )


class Progress:
    """One part in one run."""

    def __init__(self, part: Part, state: State, aim: Aim, store: Store) -> None:
        self.part = part
        self.state = state
        self.aim = aim
        self.running = 0
        self.left_alone = ""
        self.summary = summarize(store, part, state)
        self._store = store
        self._repeat = list(self.summary.failed)
        self._next_seed = store.next_seed(part.name)
        self._failures = 0
        self._idle = 0

    @property
    def may_run(self) -> bool:
        """Whether another slice may begin now, and is of use."""
        free = self.part.side_by_side or not self.running
        return free and self._expected < 1 and not self.left_alone

    @property
    def share(self) -> float:
        """How far the part is, from 0 to 1: as far as its lowest figure; a slice to repeat is not done."""
        ran = float(self.summary.slices > 0 and not self._repeat)
        return min([ran, *self.aim.shares(self.summary.record)])

    @property
    def _expected(self) -> float:
        """How far the part will be when the slices that run are complete, as far as those before them tell."""
        per_slice = self.share / self.summary.slices if self.summary.slices else 1.0
        return self.share + self.running * per_slice

    def take_seed(self) -> int:
        """Return the seed of the next slice: first those that failed, then new ones."""
        if self._repeat:
            return self._repeat.pop(0)
        seed, self._next_seed = self._next_seed, self._next_seed + SEEDS_PER_SLICE
        return seed

    def account(self, seed: int, failure: str) -> None:
        """Read again what is there, after the slice with this seed was added."""
        before = self.aim.shares(self.summary.record)
        self.summary = summarize(self._store, self.part, self.state)
        further = self.aim.shares(self.summary.record) != before
        self._idle = 0 if further else self._idle + 1
        if failure:
            self._failures += 1
            self._repeat.append(seed)
        if len(self.summary.record.violations) >= VIOLATIONS:
            self.left_alone = f"{VIOLATIONS} violations and more"
        elif self._failures >= FAILURES:
            self.left_alone = f"{FAILURES} slices failed"
        elif self._idle >= IDLE_SLICES:
            self.left_alone = f"{IDLE_SLICES} slices brought nothing further"
