"""One slice of the fuzzing: the properties of this package, one after another, on examples nobody has seen.

`python -m tests.evidence slice tests.fuzz.evidence --seconds 60 --seed 1` runs one. Planted bugs are hunted by the way,
one after the other, so that a few slices hunt them all.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Final, TypeVar

from tests.evidence.record import Record

from .planted import BUGS, Bug
from .properties import PROPERTIES, Property, told

Thing = TypeVar("Thing")

_ROUND: Final = 0.5
"""How many of the examples that a property sees as a test it sees in one round."""

_FOR_PLANTED_BUGS: Final = 0.1
"""The most of the time that goes to planted bugs."""

_SHOWN: Final = 4_000
"""Characters of what is told of a violation."""


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Try the properties in a random order, over and over until time is up; nothing is written to `directory`."""
    part, chance, started = _Slice(), random.Random(seed), time.monotonic()
    hunting, bugs = 0.0, _over_and_over(list(BUGS), chance)
    for tried in _over_and_over(_properties(), chance):
        before = time.monotonic()
        if before - started >= seconds:
            break
        part.try_out(tried, chance.getrandbits(32))
        after = time.monotonic()
        if hunting <= _FOR_PLANTED_BUGS * (after - started):
            part.hunt(next(bugs), chance.getrandbits(32))
            hunting += time.monotonic() - after
    return part.record(time.monotonic() - started)


def _properties() -> list[Property]:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"{__package__}.{path.stem}")
    return list(PROPERTIES.values())


def _over_and_over(things: list[Thing], chance: random.Random) -> Iterator[Thing]:
    chance.shuffle(things)
    return cycle(things)


@dataclass
class _Slice:
    """What was tried so far, and what came of it."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    passed: dict[str, str] = field(default_factory=dict)

    def try_out(self, tried: Property, seed: int) -> None:
        """Try a property on fresh examples."""
        examples = max(1, round(_ROUND * tried.examples))
        self.counts[f"rounds/{tried.name}"] += 1
        try:
            self.counts[f"examples/{tried.kind}"] += tried.run(examples, seed)
        except Exception as error:  # noqa: BLE001 - whatever is raised violates the property
            self.violations.append(f"{tried.name}: {_told(error)}\nagain: {tried.how_to_repeat(examples, seed)}")

    def hunt(self, bug: Bug, seed: int) -> None:
        """Plant a bug, which must be found."""
        found = bug.hunt(seed)
        if found is None:
            self.violations.append(f"the planted bug {bug.name!r} was not found by {bug.found_by} with seed {seed}")
        else:
            self.counts["planted bugs found"] += 1
            self.passed[f"planted: {bug.name}"] = f"{bug.found_by}: {found}"

    def record(self, seconds: float) -> Record:
        return Record(
            part="fuzz",
            seconds=seconds,
            counts=dict(self.counts),
            violations=self.violations,
            facts={"properties": str(len(PROPERTIES)), "planted bugs": str(len(BUGS))},
            passed=self.passed,
        )


def _told(error: BaseException) -> str:
    """Return the error with the example that brings it about, as far as there is room."""
    within = [_told(one) for one in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    return "\n".join([told(error), *within, *getattr(error, "__notes__", [])])[:_SHOWN]
