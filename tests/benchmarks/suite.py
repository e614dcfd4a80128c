"""One whole run: who takes part, and in which order the workloads come."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from . import commits, growth, memory, plain_http, renewals, strikes
from .floor import EchoFloor
from .ledger import Ledger
from .ours import Ours
from .plan import Plan
from .rounds import attempt, run_rounds, started, stopped
from .subject import Subject
from .targets import JOURNAL, MEMORY

_LONG: Final = 600.0


_OF_OURS: Final = (
    ("W2", JOURNAL, commits.measure),
    ("W4", MEMORY, memory.measure),
    ("W7", MEMORY, growth.measure),
    ("W8", MEMORY, renewals.measure),
    ("W9", MEMORY, plain_http.measure),
)
"""What is measured of our own system alone: the workload, whose it is, and how."""


Makers = Sequence[tuple[str, Callable[[], Subject]]]


def makers(plan: Plan, ledger: Ledger) -> Makers:
    """Return who is to take part: ours first, then the peers, those left out by the plan not among them."""
    found: list[tuple[str, Callable[[], Subject]]] = [(MEMORY, Ours), (JOURNAL, partial(Ours, journal=True))]
    try:
        peers = importlib.import_module(f"{__package__}.peers")
    except ImportError as error:
        ledger.missing["peers"] = str(error)
    else:
        found += [(maker.key, maker) for maker in peers.SUBJECTS]
    return [(key, make) for key, make in found if plan.wants(key)]


async def run(plan: Plan, ledger: Ledger) -> None:
    """Measure what the plan says; whatever was started is stopped, whatever happens."""
    candidates = makers(plan, ledger)
    if plan.only & {"W1", "W2", "W3", "W5"}:
        await _side_by_side(plan, candidates, ledger)
    if "W6" in plan:
        await strikes.measure(plan, candidates, ledger)
    for workload, subject, measure in _OF_OURS:
        if workload in plan and plan.wants(subject):
            await attempt(ledger, f"{workload} {measure.__module__.rpartition('.')[2]}", measure(plan, ledger), _LONG)


async def _side_by_side(plan: Plan, candidates: Makers, ledger: Ledger) -> None:
    async with AsyncExitStack() as ends:
        floor = EchoFloor()
        ends.push_async_callback(floor.stop)
        await floor.start()
        subjects = []
        for key, make in candidates:
            subject = make()
            ends.push_async_callback(stopped, key, subject, ledger)
            if await started(key, subject, ledger):
                subjects.append((key, subject))
        await run_rounds(plan, floor, subjects, ledger)
