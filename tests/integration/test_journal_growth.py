"""Leases that come and go for ever leave the journal and the memory of a node as they were.

`LOCKMANAGER_GROWTH_CYCLES` says how many: each is one acquire and one release, without a network. What was measured is
logged at info: `pytest -o log_cli=true -o log_cli_level=INFO`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

from lockmanager.clock import SystemClock
from lockmanager.durations import MICROSECONDS
from lockmanager.wire import TOKEN_LENGTH, Acquire, Granted, Mode, Release, Space, Token, UpFrame, decode_down
from lockmanager_node.journal import DiskJournal
from lockmanager_node.service import Service
from lockmanager_node.sessions import Peer
from lockmanager_node.table import Table
from tests.support.journal_cases import OWNER

log = logging.getLogger(__name__)

CYCLES: Final = int(os.environ.get("LOCKMANAGER_GROWTH_CYCLES", "50000"))
TOGETHER: Final = 100
"""Cycles in one turn of the event loop."""

NAMES: Final = 1_000
"""A name nobody used for a minute is forgotten; these are used again and again."""

WARM_UP: Final = 10_000
LARGEST_JOURNAL: Final = 50 << 20
LARGEST_GROWTH: Final = 16 << 20
"""Bytes of memory that are no sign of a leak: allocators keep what they were given once."""

DEADLINE: Final = 30.0

pytestmark = pytest.mark.timeout(120 + CYCLES // 2_000)


class Client:
    """A session that acquires and releases, `TOGETHER` locks at a time."""

    def __init__(self, service: Service) -> None:
        self.granted: list[Token] = []
        self._heard = asyncio.Event()
        self._number = 0
        self._clock = SystemClock()
        self._session = service.connect(Peer("a session", "a client", None, self._hear, self._closed), sent=0)

    async def cycle(self) -> None:
        """Release what is held, acquire as much, and wait until all of it is granted."""
        wanted = [self._acquire() for _ in range(TOGETHER)]
        releases = [Release(token) for token in self.granted]
        self.granted.clear()
        self._session.receive(UpFrame(self._clock.now(), [*releases, *wanted]))
        async with asyncio.timeout(DEADLINE):
            while len(self.granted) < TOGETHER:
                self._heard.clear()
                await self._heard.wait()

    def _acquire(self) -> Acquire:
        self._number += 1
        token = Token(f"{self._number:0{TOKEN_LENGTH}}")
        name = f"orders/{self._number % NAMES}"
        return Acquire(
            token, Space.QUORUM, name, self._number, 30 * MICROSECONDS, Mode.EXCLUSIVE, wait=True, label="a client"
        )

    def _hear(self, data: bytes) -> None:
        self.granted += [answer.token for answer in decode_down(data).messages if isinstance(answer, Granted)]
        self._heard.set()

    def _closed(self, reason: str) -> None:
        raise AssertionError(reason)


def resident() -> int:
    """Return how many bytes of memory this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in directory.iterdir()}


async def run(client: Client, cycles: int, directory: Path) -> int:
    """Go through so many cycles; returns how large the journal's files were at most."""
    largest = 0
    for number in range(cycles // TOGETHER):
        await client.cycle()
        if number % 10 == 0:
            largest = max(largest, sum(sizes(directory).values()))
    return largest


@pytest.mark.slow
async def test_leases_that_come_and_go_leave_journal_and_memory_as_they_were(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, OWNER)
    journal.attach(asyncio.get_running_loop())
    client = Client(Service(Table(1, journaled=True), SystemClock(), journal=journal))
    await run(client, WARM_UP, tmp_path)
    before, began = resident(), SystemClock().now()
    largest = await run(client, CYCLES, tmp_path)
    took, growth = (SystemClock().now() - began) / MICROSECONDS, resident() - before
    during = sizes(tmp_path)
    await journal.close()
    log.info(
        "cycles=%d seconds=%.1f largest=%d files=%s closed=%s resident=%d growth=%d commits=%d rows=%d",
        *(CYCLES, took, largest, during, sizes(tmp_path), before, growth),
        *(journal.statistics.commits, journal.statistics.rows),
    )
    assert largest < LARGEST_JOURNAL
    assert sizes(tmp_path)["journal.db"] < LARGEST_JOURNAL
    assert growth < LARGEST_GROWTH
    assert journal.statistics.rows >= 2 * CYCLES - TOGETHER


async def test_what_is_allocated_does_not_grow_with_the_cycles(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, OWNER)
    journal.attach(asyncio.get_running_loop())
    client = Client(Service(Table(1, journaled=True), SystemClock(), journal=journal))
    await run(client, WARM_UP, tmp_path)
    tracemalloc.start()
    try:
        await run(client, 1_000, tmp_path)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await run(client, 5_000, tmp_path)
        gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    await journal.close()
    assert growth < 200_000  # 40 bytes a cycle
