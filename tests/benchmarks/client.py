"""A client process of its own, for what must not be measured in the process that measures.

python -m tests.benchmarks.client crowd --config cluster.yaml --sessions N --workers N --seconds S
python -m tests.benchmarks.client hold --config cluster.yaml --leases N

It says `ready`, begins when it reads a line, and says what it found as one line of JSON. `hold` is ready when it holds
the leases, and says how many of them are valid when it reads the line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import uvloop

from lockmanager import Coordinator

TTL: Final = 30.0
_AT_ONCE: Final = 500


async def _go() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def crowd(options: argparse.Namespace) -> dict[str, Any]:
    """Let workers, spread evenly over sessions, acquire and release names of their own."""
    cycles = 0
    is_open = True

    async def work(coordinator: Coordinator, prefix: str) -> None:
        nonlocal cycles
        for number in count():
            lease = await coordinator.acquire(f"{prefix}/{number % 4}", ttl=TTL)
            await lease.release()
            if not is_open:
                return
            cycles += 1

    async with AsyncExitStack() as ends:
        coordinators = [
            await ends.enter_async_context(Coordinator.from_config(options.config)) for _ in range(options.sessions)
        ]
        await _go()
        prefix = f"crowd/{time.time_ns()}"
        used, begin = time.process_time(), time.perf_counter()
        tasks = [
            asyncio.create_task(work(coordinators[worker % len(coordinators)], f"{prefix}/{worker}"))
            for worker in range(options.workers)
        ]
        await asyncio.sleep(options.seconds)
        is_open = False
        found = {"cycles": cycles, "elapsed": time.perf_counter() - begin, "cpu": time.process_time() - used}
        await asyncio.wait(tasks, timeout=10)
    return found


async def hold(options: argparse.Namespace) -> dict[str, Any]:
    """Hold leases until told to stop."""
    async with Coordinator.from_config(options.config) as coordinator:
        leases = []
        for first in range(0, options.leases, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, options.leases))
            leases += await asyncio.gather(*(coordinator.acquire(f"hold/{number}", ttl=TTL) for number in numbers))
        await _go()
        valid = sum(lease.valid for lease in leases)
        for lease in leases:
            lease.release_soon()
    return {"valid": valid}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["crowd", "hold"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--leases", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    print(json.dumps(uvloop.run({"crowd": crowd, "hold": hold}[options.what](options))), flush=True)


if __name__ == "__main__":
    main()
