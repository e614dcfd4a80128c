"""Fails when this code is far slower than it should be: ratios within one short run, never times.

python -m tests.benchmarks.guard   (about 10 s, 25 s at most; exit code 1 when a ratio is far off)

W1 is held against the echo floor, and W2 against Redlock where redis-server is installed. Both sides are measured in
turn, and what is off is measured again: the best of three attempts counts. Everything runs on one CPU, clients and
servers: on two, the echo gets faster when something else keeps a core awake and we get slower, and the ratio of W1
goes from 1.7 to 4.4; on one it stays within a tenth, whatever else the machine does.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import uvloop

from .counting import percentile
from .floor import EchoFloor
from .ledger import Ledger
from .plan import CROWD, Plan
from .rounds import started, stopped
from .subject import Subject
from .suite import makers
from .targets import MEMORY, REDLOCK

ATTEMPTS: Final = 3
_BUDGET: Final = 25.0
_TURNS: Final = 4
_SLICE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Margin:
    """One ratio, and how far off it may be: at most (or at least) `limit`."""

    what: str
    limit: float
    at_least: bool = False

    def kept(self, ratio: float) -> bool:
        """Say whether a ratio is within the margin."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def best(self, ratios: Sequence[float]) -> float:
        """Return the ratio that speaks most for this code."""
        return max(ratios) if self.at_least else min(ratios)


# The margins, in one place. They are wide: they catch what doubles the cost of a cycle or halves the throughput, on
# any machine, and leave the fine figures to the benchmark. In the comment: what was measured.
W1: Final = Margin("W1: p50 of acquire + release / p50 of the echo floor", 8.0)  # 4.3 to 4.5
W2: Final = Margin("W2: cycles/s of 100 workers / those of Redlock on 3 Redis", 3.0, at_least=True)  # 6.5
MARGINS: Final = (W1, W2)

Attempt = Mapping[Margin, float]
"""The ratios one attempt found."""


def broken(margins: Sequence[Margin], attempts: Sequence[Attempt]) -> list[Margin]:
    """Return the margins that no attempt kept; one that no attempt measured is not among them."""
    measured = {margin: [attempt[margin] for attempt in attempts if margin in attempt] for margin in margins}
    return [margin for margin, ratios in measured.items() if ratios and not margin.kept(margin.best(ratios))]


def sentences(margins: Sequence[Margin], attempts: Sequence[Attempt]) -> list[str]:
    """Return one line for each margin: the best ratio, the limit, and whether it is kept."""
    lines = []
    for margin in margins:
        ratios = [attempt[margin] for attempt in attempts if margin in attempt]
        bound = f"{'at least' if margin.at_least else 'at most'} {margin.limit:g}"
        if not ratios:
            lines.append(f"not measured  {margin.what}, {bound}")
            continue
        best = margin.best(ratios)
        verdict = "kept  " if margin.kept(best) else "BROKEN"
        tries = f"best of {len(ratios)} attempts" if len(ratios) > 1 else "one attempt"
        lines.append(f"{verdict}  {margin.what}: {best:.2f}, {bound} ({tries})")
    return lines


async def measure(ledger: Ledger) -> list[Attempt]:
    """Start both sides once, and measure until all margins are kept, or attempts or time are used up."""
    end = time.monotonic() + _BUDGET / 2
    async with AsyncExitStack() as ends:
        floor = EchoFloor()
        ends.push_async_callback(floor.stop)
        await floor.start()
        subjects: dict[str, Subject] = {}
        for key, make in makers(Plan(subjects=frozenset({MEMORY, REDLOCK})), ledger):
            subject = make()
            ends.push_async_callback(stopped, key, subject, ledger)
            if await started(key, subject, ledger):
                subjects[key] = subject
        if MEMORY not in subjects:
            raise RuntimeError(ledger.missing[MEMORY])
        attempts: list[Attempt] = []
        while len(attempts) < ATTEMPTS and (not attempts or broken(MARGINS, attempts)):
            if attempts and time.monotonic() > end:
                break
            attempts.append(await _attempt(floor, subjects))
        return attempts


async def _attempt(floor: EchoFloor, subjects: Mapping[str, Subject]) -> Attempt:
    """Measure both sides of each margin in turn, the order reversed every other time."""
    alone: dict[str, list[float]] = {}
    crowd: dict[str, list[float]] = {}
    sides: list[tuple[str, EchoFloor | Subject]] = [(floor.key, floor), (MEMORY, subjects[MEMORY])]
    rivals = list(subjects.items()) if REDLOCK in subjects else []
    for _ in range(_TURNS):
        for key, side in sides:
            alone.setdefault(key, []).append(percentile(await side.alone(_SLICE), 0.5))
        for key, subject in rivals:
            found = await subject.crowd(CROWD, _SLICE)
            crowd.setdefault(key, []).append(found.cycles / found.elapsed)
        sides.reverse()
        rivals.reverse()
    ratios = {W1: statistics.median(alone[MEMORY]) / statistics.median(alone[floor.key])}
    if rivals:
        ratios[W2] = statistics.median(crowd[MEMORY]) / max(1.0, statistics.median(crowd[REDLOCK]))
    return ratios


def _stay_on_one_cpu() -> None:
    """Let this process and all it starts share one CPU, where the system can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> int:
    """Measure and judge; returns the exit code."""
    _stay_on_one_cpu()
    ledger = Ledger()
    attempts = uvloop.run(measure(ledger))
    print("\n".join(sentences(MARGINS, attempts)))
    for what, why in ledger.missing.items():
        print(f"not there: {what}: {why}")
    if broken(MARGINS, attempts):
        print("far slower than it should be: run `make bench`, and see what changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
