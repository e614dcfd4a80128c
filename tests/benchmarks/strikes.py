"""W6: what a client feels when one server of several is killed or hangs; each strike uses a fresh set of servers up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Final

from .ledger import Ledger
from .plan import CROWD, Plan
from .rounds import attempt, say, started, stopped
from .subject import Subject

SIGNALS: Final = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP}
_ENOUGH: Final = 3
"""Servers of which one may fail."""


async def measure(plan: Plan, candidates: Sequence[tuple[str, Callable[[], Subject]]], ledger: Ledger) -> None:
    """Strike every subject that has three servers or more with both signals."""
    for how in SIGNALS:
        for key, make in candidates:
            if key in ledger.missing or ledger.servers.get(key, _ENOUGH) < _ENOUGH:
                continue
            subject = make()
            try:
                if await started(key, subject, ledger) and ledger.servers[key] >= _ENOUGH:
                    say(f"W6 {how}  {subject.name}")
                    await attempt(ledger, f"W6 {how} {key}", _strike(plan, key, subject, how, ledger), 0)
            finally:
                await stopped(key, subject, ledger)


async def _strike(plan: Plan, key: str, subject: Subject, how: str, ledger: Ledger) -> None:
    found = await subject.strike(SIGNALS[how], CROWD, plan.strike_seconds)
    for metric, value in (
        ("stall", found.longest_stall),
        ("before", found.before),
        ("after", found.after),
        ("failures", float(found.failures)),
    ):
        ledger.add(0, f"w6.{how}.{metric}", key, value)
