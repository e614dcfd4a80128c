"""One worker process of the demonstration: several workers that contend for the lock and write under its fence.

`python -m lockmanager.cli.demo.worker CLUSTER_YAML DATABASE PROCESS WORKERS GUARDED`. Tells events on stdout. Reads
orders from stdin: a line makes the next holder oversleep, the end of stdin makes the workers finish and the
process end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

from lockmanager.clock import SystemClock
from lockmanager.coordinator import Coordinator
from lockmanager.errors import LeaseLost
from lockmanager.lease import Lease

from .events import Ended, Event, Held, Lost, Paused, Resumed, Wrote, to_line
from .resource import Resource

LOCK: Final = "demo/ledger"
TTL: Final = 1.0
_FINISH: Final = 5.0
"""Seconds the workers have to end what they are at."""

_WORK: Final = 0.05
"""Seconds each holder works before it writes."""

_clock = SystemClock()


class Orders:
    """What the director wants of this process."""

    def __init__(self) -> None:
        self.finish = False
        self._oversleep = False

    async def read(self) -> None:
        """Take orders until stdin ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        # No deadline: orders come when they come, and the director's end is the end of stdin.
        while await reader.readline():
            self._oversleep = True
        self.finish = True

    def take_oversleep(self) -> bool:
        """Say once whether somebody is to oversleep."""
        oversleep, self._oversleep = self._oversleep, False
        return oversleep


class Worker:
    """Acquires, works, writes, releases, again and again."""

    def __init__(self, name: str, process: str, resource: Resource, orders: Orders) -> None:
        self._name = name
        self._process = process
        self._resource = resource
        self._orders = orders

    async def work(self, coordinator: Coordinator) -> None:
        while not self._orders.finish:
            fence = 0
            asked = _clock.now()
            try:
                async with coordinator.lock(LOCK, ttl=TTL, label=self._name) as lease:
                    fence = lease.fence
                    self._tell_held(lease, asked)
                    await asyncio.sleep(_WORK)
                    self._write(fence)
                    _tell(Ended(_clock.now(), self._name, fence))
            except LeaseLost:
                _tell(Lost(_clock.now(), self._name, fence))

    def _tell_held(self, lease: Lease, asked: int) -> None:
        _tell(Held(_clock.now(), self._name, self._process, lease.ticket, lease.fence, asked))

    def _write(self, fence: int) -> None:
        planted = self._orders.take_oversleep()
        if planted:
            self._oversleep(fence)
        accepted = self._resource.write(fence, self._name)
        _tell(Wrote(_clock.now(), self._name, fence, accepted, planted))

    def _oversleep(self, fence: int) -> None:
        """Stand still, as a process does that the system suspends; going on, it knows nothing of that."""
        _tell(Paused(_clock.now(), self._name, self._process, fence))
        os.kill(os.getpid(), signal.SIGSTOP)
        _tell(Resumed(_clock.now(), self._process))


def _tell(event: Event) -> None:
    sys.stdout.buffer.write(to_line(event))
    sys.stdout.buffer.flush()


async def main(config: str, database: str, process: str, count: int, *, guarded: bool) -> None:
    """Run the workers of one process until stdin ends."""
    logging.getLogger("lockmanager").addHandler(logging.NullHandler())
    orders, resource = Orders(), Resource(Path(database), guarded=guarded)
    async with Coordinator.from_config(config, label=f"demo {process}") as coordinator:
        workers = [Worker(f"{process}{number}", process, resource, orders) for number in range(1, count + 1)]
        working = asyncio.gather(*(worker.work(coordinator) for worker in workers))
        await orders.read()
        async with asyncio.timeout(_FINISH):
            await working
    resource.close()


if __name__ == "__main__":
    _config, _database, _process, _count, _guard = sys.argv[1:]
    asyncio.run(main(_config, _database, _process, int(_count), guarded=_guard == "guarded"))
