"""Acquire one quorum lock on the running stack and die with it, as a killed process does: nothing is released.

Run on the host: `python leaving.py NAME TTL LABEL`. It prints the lease's fence. From then on only the nodes know of
the lease.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from lockmanager import Coordinator

CLUSTER_FILE = Path(__file__).resolve().parents[2] / "deploy" / "cluster.yaml"


async def acquire_and_die(name: str, ttl: float, label: str) -> None:
    async with (
        asyncio.timeout(30),
        Coordinator.from_config(CLUSTER_FILE, network="public", label=label) as coordinator,
    ):
        lease = await coordinator.acquire(name, ttl=ttl, wait=10)
        await asyncio.sleep(1)  # a majority has the whole ttl; let the other nodes get it too
        sys.stdout.write(str(lease.fence))
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(acquire_and_die(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
