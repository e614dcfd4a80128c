"""A program that keeps a journal through a fixed sequence of steps, for tests that let its disk fail or kill it.

`python -m tests.support.journal_driver DIRECTORY [close|kill]` prints "opened", then the number of each step as soon as
its journal calls it durable, and "closed" at the end; "failed" or "refused", with the reason, where it comes to that.
With "kill" it ends by SIGKILL after the last step. The exit status is the node's. It imports no server, and so
starts fast: it is run hundreds of times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from lockmanager_node import store
from lockmanager_node.journal import DiskJournal
from lockmanager_node.records import Changes
from lockmanager_node.store import Batch, JournalRefused, Store
from tests.support.journal_cases import OWNER, ends, grants, lease

MANY: Final = range(10, 60)
"""So many leases that they stand on several pages."""

STEPS: Final = (
    grants(1, 2),
    grants(3),
    Batch({1: lease(1, deadline=2 * 10**9)}),
    ends(2),
    Batch(notes={"served": "yes"}),
    grants(*MANY),
    Batch({1: None, 4: lease(4)}, fence_floor=2_000),
    ends(*MANY),
    Batch({5: None}, fence_floor=2_001),
    Batch({6: lease(6)}, fence_floor=2_002),
    ends(4),
    Batch({7: lease(7)}, {"boot": "another"}, fence_floor=2_003),
)
TOGETHER: Final = ((1,), (2, 3), (4,), (5,), (6,), (7, 8), (9,), (10,), (11, 12))
"""Which steps, counted from 1, are written in one tick."""

TIDY_AT: Final = 8
FREE_PAGES: Final = 2
"""Pages after which the journal is tidied, and that may lie unused: few, so that there is something to tidy."""

REFUSED: Final = 65
FAILED: Final = 74


_tidy = Store.tidy


def tidy_as_if_idle(journal: Store, *, idle: bool) -> None:
    """Tidy what is due whether or not somebody waits: every run then does the same, however fast its threads are."""
    del idle
    _tidy(journal, idle=True)


async def keep(directory: Path, say: Callable[[str], None], end: str = "close") -> int:
    """Keep a journal through all steps; returns what the program's exit status is."""
    try:
        journal = DiskJournal(directory, OWNER)
    except JournalRefused as error:
        say(f"refused: {error}")
        return REFUSED
    failed = asyncio.Event()

    def fail(reason: str) -> None:
        say(f"failed: {reason}")
        failed.set()

    journal.on_failure = fail
    journal.attach(asyncio.get_running_loop())
    say("opened")
    for numbers in TOGETHER:
        last = asyncio.Event()
        for number in numbers:
            _write(journal, STEPS[number - 1])
            journal.sync(partial(say, str(number)))
        journal.sync(last.set)
        await _first_of(last, failed)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await journal.close()
    if failed.is_set():
        return FAILED
    say("closed")
    return 0


def _write(journal: DiskJournal, batch: Batch) -> None:
    for key, value in batch.notes.items():
        journal.note(key, value)
    if batch.records or batch.fence_floor:
        journal.write(Changes(list(batch.records.items()), batch.fence_floor))


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()


def main(directory: str, end: str = "close") -> int:
    """Run the program."""
    vars(store).update(_TIDY_AT=TIDY_AT, _FREE_PAGES=FREE_PAGES)
    setattr(Store, "tidy", tidy_as_if_idle)  # noqa: B010 - a method cannot be assigned to
    return asyncio.run(keep(Path(directory), partial(print, flush=True), end))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
