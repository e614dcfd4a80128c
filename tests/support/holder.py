"""A holder in a process of its own, to be killed: it says again and again until when it may rely on its lease.

Started as `python -m tests.support.holder cluster.yaml NAME TTL FIRST_TTL`. Each line it writes is JSON: the fence,
when the lease was acquired, and until when it is valid, in microseconds of the clock all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from lockmanager import Coordinator, acquisition, actions
from lockmanager.clock import SystemClock
from lockmanager.durations import microseconds
from tests.support.judge import Hold

_ROOT: Final = Path(__file__).parents[2]
_LINE_DEADLINE: Final = 30.0
_PAUSE: Final = 0.01


class Holder:
    """The process as a test sees it."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process, self._name = process, name
        self._newest: dict[str, int] = {}
        self._spoke = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def holds(self) -> Hold:
        """Wait until it has acquired, and return what it says of its lease by now."""
        async with asyncio.timeout(_LINE_DEADLINE):
            await self._spoke.wait()
        return self._hold()

    async def speaks_again(self) -> Hold:
        """Wait for news and return them."""
        self._spoke.clear()
        return await self.holds()

    async def kill(self) -> Hold:
        """Kill it, and return what it said last."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(_LINE_DEADLINE):
            await self._process.wait()
            await self._reader
        return self._hold()

    def _hold(self) -> Hold:
        said = self._newest
        return Hold(self._name, "the holder", said["fence"], said["acquired"], said["until"])

    async def _read(self) -> None:
        assert self._process.stdout is not None
        # No deadline: the process is killed at the end of the test.
        async for line in self._process.stdout:
            if line.endswith(b"\n"):
                self._newest = json.loads(line)
                self._spoke.set()


@asynccontextmanager
async def holding(config: Path, name: str, *, ttl: float, first_ttl: float) -> AsyncIterator[Holder]:
    """Let a process hold a lock while the block runs, unless it is killed before."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LOCKMANAGER_")}
    arguments = ("-m", __name__, str(config), name, str(ttl), str(first_ttl))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=_ROOT, env=clean, stdout=asyncio.subprocess.PIPE
    )
    holder = Holder(process, name)
    try:
        yield holder
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await holder._reader


async def _hold(config: str, name: str, ttl: float, first_ttl: float) -> None:
    for module in (actions, acquisition):
        vars(module)["FIRST_TTL"] = microseconds(first_ttl)
    clock = SystemClock()
    async with Coordinator.from_config(config, label="the holder") as coordinator:
        lease = await coordinator.acquire(name, ttl=ttl)
        acquired = clock.now()
        while lease.valid:
            until = clock.now() + microseconds(lease.remaining())
            print(json.dumps({"fence": lease.fence, "acquired": acquired, "until": until}), flush=True)
            await asyncio.sleep(_PAUSE)


if __name__ == "__main__":
    asyncio.run(_hold(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
