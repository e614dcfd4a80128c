"""W8: what it costs to hold ten thousand leases with one coordinator, on either side, while nothing else happens."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from . import client
from .ledger import Ledger
from .ours import Ours
from .plan import Plan
from .processes import Child, CpuShare
from .rounds import say
from .targets import MEMORY

LEASES: Final = 10_000
_ACQUIRE_DEADLINE: Final = 60.0
_SETTLE: Final = 1.0


async def measure(plan: Plan, ledger: Ledger) -> None:
    """Hold the leases in a client process of their own, and read the CPU of that and of the nodes."""
    subject = Ours()
    ledger.names.setdefault(MEMORY, subject.name)
    async with subject.local as local:
        say(f"W8  {LEASES:,} leases held for {plan.holding_seconds:g} s")
        arguments = ("hold", "--config", str(local.config_path), "--leases", str(LEASES))
        with Child(client.__name__, *arguments) as holder:
            await asyncio.to_thread(holder.line, _ACQUIRE_DEADLINE)
            await asyncio.sleep(_SETTLE)
            shares = [CpuShare([pid]) for pid in (holder.pid, *subject.pids)]
            await asyncio.sleep(plan.holding_seconds)
            of_client, *of_nodes = [share.read() for share in shares]
            holder.say("stop")
            valid = json.loads(await asyncio.to_thread(holder.line, _ACQUIRE_DEADLINE))["valid"]
    if valid != LEASES:
        raise RuntimeError(f"only {valid} of {LEASES} leases were still valid")
    ledger.add(0, "w8.client", MEMORY, of_client)
    ledger.add(0, "w8.node", MEMORY, max(of_nodes))
    ledger.add(0, "w8.nodes", MEMORY, sum(of_nodes))
