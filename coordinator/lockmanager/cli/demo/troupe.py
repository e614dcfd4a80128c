"""The worker processes of the demonstration, and the record of what they and the nodes did."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ...clock import SystemClock
from .events import Event, Held, from_line

PROCESSES: Final = ("A", "B")
WORKERS_EACH: Final = 4

_END_DEADLINE: Final = 5.0


class Record:
    """Everything that happened, in the order it was told; `show` is called with each event."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self.events: list[Event] = []
        self._show = show
        self._told = asyncio.Event()

    def add(self, event: Event) -> None:
        """Take note of an event."""
        self.events.append(event)
        self._show(event)
        self._told.set()

    @property
    def acquisitions(self) -> int:
        """How often the lock was acquired."""
        return sum(isinstance(event, Held) for event in self.events)

    async def more_acquisitions(self, count: int) -> None:
        """Wait for that many more."""
        wanted = self.acquisitions + count
        await self.until(lambda: self.acquisitions >= wanted)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the events fulfil a condition; the caller sets the deadline."""
        while not condition():
            self._told.clear()
            await self._told.wait()


class Troupe:
    """The worker processes, by name."""

    def __init__(self, processes: dict[str, Process]) -> None:
        self._processes = processes

    def order_oversleep(self, name: str) -> None:
        """Have the next holder in that process stop it."""
        pipe = self._processes[name].stdin
        if pipe is not None:
            pipe.write(b"oversleep\n")

    def wake(self, name: str) -> None:
        """Let a stopped process go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    async def finish(self) -> None:
        """Have the workers end what they do, and wait for their processes; the caller sets the deadline."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes.values():
            await process.wait()


@asynccontextmanager
async def performing(config: Path, database: Path, record: Record, *, guarded: bool) -> AsyncIterator[Troupe]:
    """Run the worker processes while the block runs; none of them outlives it."""
    processes: dict[str, Process] = {}
    readers: list[asyncio.Task[None]] = []
    try:
        for name in PROCESSES:
            processes[name] = await _start(name, config, database, guarded=guarded)
            readers.append(asyncio.create_task(_read(processes[name], record)))
        yield Troupe(processes)
        await asyncio.gather(*readers)
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
        async with asyncio.timeout(_END_DEADLINE):
            await asyncio.gather(*readers, *(process.wait() for process in processes.values()))


async def _start(name: str, config: Path, database: Path, *, guarded: bool) -> Process:
    arguments = (str(config), str(database), name, str(WORKERS_EACH), "guarded" if guarded else "unguarded")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LOCKMANAGER_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lockmanager.cli.demo.worker",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        env=environment,
        start_new_session=True,
    )


async def _read(process: Process, record: Record) -> None:
    """Take down what a process tells, until it ends; the play as a whole has the deadline."""
    if process.stdout is not None:
        async for line in process.stdout:
            record.add(from_line(line))


def now() -> int:
    """Return the clock that all processes of this machine share, in microseconds."""
    return SystemClock().now()
