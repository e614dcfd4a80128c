"""W9: acquire and release over plain HTTP, against one node and against a handler that decides nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Final

import aiohttp

from . import empty_http
from .ledger import Ledger
from .ours import Ours
from .plan import Plan
from .processes import Child
from .rounds import durations_found, say
from .targets import EMPTY_HTTP, MEMORY

_DEADLINE: Final = 10.0
_SLICES: Final = 5
"""Turns each side gets in one round."""


async def measure(plan: Plan, ledger: Ledger) -> None:
    """Measure both in turn, with the same client and the same two requests, over one kept-alive connection each."""
    subject = Ours(1)
    ledger.names.setdefault(MEMORY, "LockManager, in memory")
    ledger.names[EMPTY_HTTP] = "empty aiohttp handler"
    timeout = aiohttp.ClientTimeout(total=_DEADLINE)
    async with subject.local as local, aiohttp.ClientSession(timeout=timeout) as session:
        with Child(empty_http.__name__) as empty:
            port = await asyncio.to_thread(empty.line, _DEADLINE)
            sides = [(MEMORY, local.urls["node1"]), (EMPTY_HTTP, f"http://127.0.0.1:{port}")]
            for _, url in sides:
                await _cycles(session, url, 0.3)
            for turn in range(plan.rounds):
                say(f"round {turn + 1}/{plan.rounds}  W9")
                found: dict[str, list[float]] = {key: [] for key, _ in sides}
                for _ in range(_SLICES):
                    for key, url in sides:
                        found[key] += await _cycles(session, url, plan.seconds / _SLICES)
                    sides.reverse()
                for key, durations in found.items():
                    for metric, value in durations_found("w9", durations).items():
                        ledger.add(turn, metric, key, value)


async def _cycles(session: aiohttp.ClientSession, url: str, seconds: float) -> list[float]:
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        lease = await _post(session, f"{url}/v1/acquire", {"name": f"http/{len(durations) % 50}", "ttl": 30})
        await _post(session, f"{url}/v1/release", {"token": lease["token"], "name": lease["name"]})
        durations.append(time.perf_counter() - begin)
    return durations


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> dict[str, object]:
    async with session.post(url, json=body) as response:
        answer: dict[str, object] = json.loads(await response.read())
        if response.status != 200:
            raise RuntimeError(f"{url} answered {response.status}: {answer}")
        return answer
