"""Interleaved rounds: every workload of every subject in turn, the order reversed every other round."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from .counting import percentile
from .floor import EchoFloor
from .ledger import Ledger
from .plan import CROWD, Plan
from .subject import Crowd, Missing, Subject

_START_DEADLINE: Final = 120.0
_STOP_DEADLINE: Final = 30.0
_SLACK: Final = 60.0
_WARM_UP: Final = 0.3

Participant = tuple[str, Subject]


def say(text: str) -> None:
    """Tell whoever watches how far it is; results go to standard output, this does not."""
    print(text, file=sys.stderr, flush=True)


async def started(key: str, subject: Subject, ledger: Ledger) -> bool:
    """Start one subject and let it run a little; False, and a note in the ledger, when that is not to be had.

    Stop it in either case.
    """
    try:
        async with asyncio.timeout(_START_DEADLINE):
            await subject.start()
            await subject.alone(_WARM_UP)
            await subject.crowd(CROWD, _WARM_UP)
    except Missing as missing:
        ledger.missing[key] = str(missing)
    except Exception as error:  # noqa: BLE001  # a peer that does not come up must not end the run
        ledger.missing[key] = f"did not start: {_text(error)}"
    else:
        ledger.names[key], ledger.servers[key] = subject.name, len(subject.pids)
        return True
    say(f"{key} is missing: {ledger.missing[key]}")
    return False


async def stopped(key: str, subject: Subject, ledger: Ledger) -> None:
    """Stop one subject, started or not; what was measured is told even if that fails."""
    try:
        async with asyncio.timeout(_STOP_DEADLINE):
            await subject.stop()
    except Exception as error:  # noqa: BLE001  # the others must be stopped too
        ledger.failed[f"stop {key}"] = _text(error)


async def attempt(ledger: Ledger, what: str, work: Awaitable[None], seconds: float) -> None:
    """Await one measurement within a deadline; an error is noted and the run goes on."""
    gc.collect()
    try:
        async with asyncio.timeout(seconds + _SLACK):
            await work
    except Exception as error:  # noqa: BLE001  # one subject's failure must not end the run
        ledger.failed[what] = _text(error)
        say(f"{what} failed: {ledger.failed[what]}")


Measure = Callable[[Subject], Awaitable[dict[str, float]]]
"""One workload of a subject; returns what it found by metric."""


async def run_rounds(plan: Plan, floor: EchoFloor, subjects: Sequence[Participant], ledger: Ledger) -> None:
    """Measure W1, W2, W3 and W5 of all subjects, and the floor in every round."""
    ledger.names[floor.key] = floor.name
    for turn in range(plan.rounds):
        echoes = await floor.alone(plan.seconds / 2)
        for number, (title, measure) in enumerate(_measures(plan)):
            for key, subject in list(subjects)[:: -1 if turn % 2 else 1]:
                say(f"round {turn + 1}/{plan.rounds}  {title}  {subject.name}")
                await attempt(ledger, f"{title} {key}", _enter(ledger, turn, key, measure(subject)), plan.seconds)
            if number == 0:  # before and after W1, which is held against it
                echoes += await floor.alone(plan.seconds / 2)
        for metric, value in durations_found("w1", echoes).items():
            ledger.add(turn, metric, floor.key, value)


async def _enter(ledger: Ledger, turn: int, key: str, work: Awaitable[dict[str, float]]) -> None:
    for metric, value in (await work).items():
        ledger.add(turn, metric, key, value)


def _measures(plan: Plan) -> list[tuple[str, Measure]]:
    """Return the workloads of one round; what is to be compared is measured next to each other."""
    found: list[tuple[str, Measure]] = []
    if "W1" in plan:
        found.append(("W1", partial(_alone, plan.seconds)))
    if "W2" in plan:
        found.append(("W2", partial(_crowd, plan.seconds)))
    if "W3" in plan:
        found += [(f"W3 {workers} workers", partial(_queue, plan.seconds, workers)) for workers in plan.queues]
    if "W5" in plan:
        found += [(f"W5 {waiters} waiters", partial(_hand_over, plan.hand_overs, waiters)) for waiters in plan.lines]
    return found


async def _alone(seconds: float, subject: Subject) -> dict[str, float]:
    return durations_found("w1", await subject.alone(seconds))


async def _crowd(seconds: float, subject: Subject) -> dict[str, float]:
    return crowd_found("w2", await subject.crowd(CROWD, seconds))


async def _queue(seconds: float, workers: int, subject: Subject) -> dict[str, float]:
    return queue_found(f"w3.{workers}", await subject.queue(workers, seconds))


async def _hand_over(times: int, waiters: int, subject: Subject) -> dict[str, float]:
    return durations_found(f"w5.{waiters}", await subject.hand_over(waiters, times))


def durations_found(prefix: str, durations: Sequence[float]) -> dict[str, float]:
    """Return median and 99th percentile, in seconds."""
    return {f"{prefix}.p50": percentile(durations, 0.5), f"{prefix}.p99": percentile(durations, 0.99)}


def crowd_found(prefix: str, crowd: Crowd) -> dict[str, float]:
    """Return cycles per second, and the CPU seconds a cycle costs on either side."""
    cycles = max(1, crowd.cycles)
    return {
        f"{prefix}.rate": crowd.cycles / crowd.elapsed,
        f"{prefix}.client_cpu": crowd.client_cpu / cycles,
        f"{prefix}.server_cpu": crowd.server_cpu / cycles,
    }


def queue_found(prefix: str, crowd: Crowd) -> dict[str, float]:
    """Return hand-overs per second, and how fair the line was: the longest wait against the median."""
    median, longest = percentile(crowd.waits, 0.5), max(crowd.waits, default=math.nan)
    return crowd_found(prefix, crowd) | {
        f"{prefix}.median": median,
        f"{prefix}.longest": longest,
        f"{prefix}.spread": longest / median,
        f"{prefix}.overtakings": crowd.overtakings,
    }


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")[:300]
