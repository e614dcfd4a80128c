"""Breaks things: deals the kinds of faults in an order that a seed decides, lane beside lane, until time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Final

from tests.chaos.scene import Kind, Lane

LANES: Final[dict[Lane, float]] = {"nodes": 1.5, "connections": 1.5, "clients": 2.0, "control": 20.0, "disks": 60.0}
"""The longest rest between two faults of a lane, in seconds; in a short run a part of the run."""

_LONGEST_REST: Final = 1 / 8


class Nemesis:
    """Faults of `kinds`, drawn from `seed`; in each lane every kind comes before any comes again.

    `on_strike` is told when each begins and is over, for whoever reads a history later.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        seed: int,
        on_violation: Callable[[str], None],
        *,
        on_strike: Callable[[str], None] = lambda _: None,
        all_kinds: bool = False,
    ) -> None:
        self._kinds = kinds
        self._on_violation = on_violation
        self._on_strike = on_strike
        self._seed = seed
        self._all_kinds = all_kinds
        self._seconds = self._deadline = 0.0

    async def strike(self, seconds: float) -> None:
        """Break and mend for so long; with `all_kinds` longer, where it takes that for every kind to come once."""
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as lanes:
            for lane in LANES:
                kinds = [kind for kind in self._kinds if kind.lane == lane]
                if kinds:
                    lanes.create_task(self._run(lane, kinds))

    async def _run(self, lane: Lane, kinds: list[Kind]) -> None:
        chance = Random(f"{self._seed}/{lane}")
        needed = len(kinds) if self._all_kinds else 0
        longest = min(LANES[lane], _LONGEST_REST * self._seconds)
        for number, kind in enumerate(_deal(kinds, chance)):
            if number >= needed and self._left() <= 0:
                return
            if number < needed or kind.seconds <= self._left():
                await self._strike(kind, Random(f"{self._seed}/{lane}/{number}"))
            await asyncio.sleep(min(chance.uniform(0, longest), max(0.0, self._left())))

    async def _strike(self, kind: Kind, chance: Random) -> None:
        self._on_strike(f"{kind.name} begins")
        try:
            await kind.strike(chance)
            self._on_strike(f"{kind.name} is over")
        except RuntimeError as error:  # what a local cluster raises for a node that does not come up
            self._on_violation(f"{kind.name}: {error}")

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()


def _deal(kinds: list[Kind], chance: Random) -> Iterator[Kind]:
    """Deal all kinds in a random order, again and again."""
    for _ in count():
        yield from chance.sample(kinds, len(kinds))
