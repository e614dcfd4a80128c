"""W4: what a held lease costs a node in memory, in a real node process that holds very many."""

from __future__ import annotations

from .fill import Filler
from .ledger import Ledger
from .ours import Ours
from .plan import Plan
from .processes import resident_bytes
from .rounds import say
from .targets import JOURNAL, MEMORY

_SETTLED = 1_000
"""Leases that are held before the first look, so that whatever is made once is there."""


async def measure(plan: Plan, ledger: Ledger) -> None:
    """Fill one node in memory and one with a journal, and divide what they grew by."""
    for key, journal in ((MEMORY, False), (JOURNAL, True)):
        if plan.wants(key):
            await _fill(plan, ledger, key, Ours(1, journal=journal))


async def _fill(plan: Plan, ledger: Ledger, key: str, subject: Ours) -> None:
    async with subject.local, Filler(subject.local.cluster) as filler:
        (pid,) = subject.pids
        await filler.fill(_SETTLED)
        before = resident_bytes(pid)
        for leases in plan.remembered:
            say(f"W4  {subject.name}, {leases:,} leases")
            await filler.fill(_SETTLED + leases)
            ledger.add(0, f"w4.{leases}.bytes", key, (resident_bytes(pid) - before) / leases)
