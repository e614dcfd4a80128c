"""The thread that commits the batches of one journal to its file, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from .records import Kept
from .store import Batch, Store

_JOIN_DEADLINE: Final = 5.0
"""Seconds the thread may take to end."""


@dataclass(slots=True)
class Statistics:
    """How many transactions were committed since the journal was opened, and how many rows they held in all."""

    commits: int = 0
    rows: int = 0


class StoreThread:
    """Opens the journal's file in a thread and commits there what it is handed."""

    def __init__(self, directory: Path, about: Mapping[str, str]) -> None:
        """Open the file; blocks, and raises JournalRefused."""
        self.statistics = Statistics()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committed: Callable[[], None] = lambda: None
        self._failed: Callable[[str], None] = lambda _reason: None
        self._abandoned = False
        self._orders: SimpleQueue[Batch | None] = SimpleQueue()
        opened: Future[Store] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(opened, directory, dict(about)), name="lockmanager journal", daemon=True
        )
        self._thread.start()
        try:
            store = opened.result()
        except BaseException:  # an interrupt, too, must not leave the thread behind; raised again
            self._thread.join(_JOIN_DEADLINE)  # it is over: only its last step is left
            raise
        self.path = store.path
        self.about: Mapping[str, str] = store.about
        self.fence_floor = store.fence_floor
        self.take_kept: Callable[[], Kept] = store.take_kept

    # On the event loop

    def attach(
        self, loop: asyncio.AbstractEventLoop, committed: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._loop, self._committed, self._failed = loop, committed, failed

    def commit(self, batch: Batch) -> None:
        self._orders.put(batch)

    async def end(self, *, abruptly: bool) -> None:
        self._abandoned = self._abandoned or abruptly
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join, _JOIN_DEADLINE)
        self._loop = None

    # In the thread

    def _work(self, opened: Future[Store], directory: Path, about: Mapping[str, str]) -> None:
        try:
            store = Store(directory, about)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the journal is opened
            opened.set_exception(error)
            return
        opened.set_result(store)
        try:
            self._commit_all(store)
        except Exception as error:  # noqa: BLE001 - a thread that ends unheard leaves everybody waiting for ever
            reason = f"the journal {store.path} cannot be written: {error}"
            store.abandon()
            self._call(lambda: self._failed(reason))

    def _commit_all(self, store: Store) -> None:
        while (batch := self._orders.get()) is not None and not self._abandoned:
            store.commit(batch)
            self.statistics.commits += 1
            self.statistics.rows += len(batch.records)
            self._call(self._committed)
            store.tidy(idle=self._orders.empty())
        if self._abandoned:
            store.abandon()
        else:
            store.close()

    def _call(self, then: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(then)
