"""What happens to wires, drawn from a seed: how long bytes travel, where they are cut, which wire breaks and when.

Calm weather delays and does nothing else. Rough weather also cuts, slows and breaks. Each fault is counted when it
happens.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tests.virtual.wires import Way, Wire

CALM_DELAY: Final = (0.000_5, 0.002)
"""Seconds, from and to."""

_KINDS: Final = ("reset", "half close", "stall", "stall of one way", "stall that ends in a reset")
FAULTS: Final = (*_KINDS, "cut bytes", "slow bytes", "refused connection", "unanswered connection", "lost bytes")
"""Everything that rough weather does."""


class SeededWeather:
    """All chance of one run: calm at first."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter(dict.fromkeys(FAULTS, 0))
        self.rough = False
        self._planned: list[asyncio.TimerHandle] = []
        self._cutting, self._slowing = self.chance.choice((0.1, 0.5)), self.chance.choice((0.01, 0.05))
        self._refusing, self._lasting = self.chance.choice((0.05, 0.3)), 1.0

    def roughen(self, wires: Iterable[Wire], lasting: float) -> None:
        """Let faults happen from now on, to these wires and to those that are made; they last so long on average."""
        self.rough, self._lasting = True, lasting
        for wire in wires:
            self.plan(wire)

    def calm(self) -> None:
        """Let no more faults happen."""
        self.rough = False
        while self._planned:
            self._planned.pop().cancel()

    # On the way

    def delay(self) -> float:
        if self.rough and self._happens("slow bytes", self._slowing):
            return self.chance.uniform(0.01, 0.4)
        return self.chance.uniform(*CALM_DELAY)

    def notice(self) -> float:
        return self.chance.choice((0.0, 0.1, 2.0)) * self.chance.random() if self.rough else 0.0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self.rough and len(data) > 1 and self._happens("cut bytes", self._cutting):
            size = self.chance.randint(1, len(data) - 1)
            yield data[:size]
            yield from self.pieces(data[size:])
        else:
            yield data

    def survive(self, size: int) -> int:
        if not self.rough or not size:
            return size
        self.faults["lost bytes"] += 1
        return self.chance.randrange(size)

    # Where a wire begins

    def refuses(self) -> bool:
        """Say whether a connection is refused that a server would accept."""
        return self.rough and self._happens("refused connection", self._refusing)

    def swallows(self) -> bool:
        """Say whether an attempt to connect is never answered."""
        return self.rough and self._happens("unanswered connection", self._refusing / 3)

    def plan(self, wire: Wire) -> None:
        """Let a fault happen to the wire some time, as long as the weather is rough."""
        if not self.rough:
            return
        happens_in = self.chance.expovariate(1 / self._lasting)
        kind, lasts = self.chance.choice(_KINDS), self.chance.uniform(0.05, 4.0)
        way = self.chance.choice((wire.up, wire.down))
        self._later(happens_in, lambda: self._strike(wire, way, kind, lasts))

    def _strike(self, wire: Wire, way: Way, kind: str, lasts: float) -> None:
        if wire.over:
            return
        self.faults[kind] += 1
        match kind:
            case "reset":
                wire.reset()
            case "half close":
                way.end()
            case "stall that ends in a reset":
                self._stall(wire, (wire.up, wire.down), lasts, wire.reset)
            case _:
                ways = (way,) if kind == "stall of one way" else (wire.up, wire.down)
                self._stall(wire, ways, lasts, wire.resume)
                self._later(2 * lasts, lambda: self.plan(wire))

    def _stall(self, wire: Wire, ways: tuple[Way, ...], lasts: float, then: Callable[[], None]) -> None:
        wire.stall(*ways)
        self._later(lasts, then)

    def _later(self, delay: float, what: Callable[[], None]) -> None:
        self._planned.append(asyncio.get_running_loop().call_later(delay, what))

    def _happens(self, fault: str, likelihood: float) -> bool:
        happens = self.chance.random() < likelihood
        self.faults[fault] += happens
        return happens
