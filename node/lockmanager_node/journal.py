"""Where decisions wait until they are durable, before they are told to anybody.

Once per event-loop tick the service writes what changed and asks to be called when all of it is synced. The journal on
disk hands one batch at a time to a `Committer`: what is written while one commit runs shares the next. Whatever gives
or extends waits for its commit; the end of a lease is in the same stream, in order, and nobody waits for it. What must
not come in: files and threads, which are the committer's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from .committing import StoreThread
from .records import Changes, Kept
from .store import Batch

log = logging.getLogger("lockmanager_node")

COMMIT_DEADLINE: Final = 30.0
"""Seconds one commit may take: a node whose disk hangs is as good as down, and had better say so."""

LINGER: Final = 0.005
"""Seconds for which the end of a lease, for which nobody waits, may wait for a commit that is wanted anyway."""

CLOSE_DEADLINE: Final = 5.0
"""Seconds a close may wait for the last commit."""

Then = Callable[[], None]


class Journal(Protocol):
    """What the service asks of a journal. All calls come from one thread and return at once."""

    @property
    def busy(self) -> bool:
        """Whether something written is not durable yet."""
        ...

    def write(self, changes: Changes) -> None:
        """Take what changed into the next commit."""
        ...

    def note(self, key: str, value: str) -> None:
        """Take something the node must remember of its own life into the next commit, with what is written next."""
        ...

    def sync(self, then: Then) -> None:
        """Call `then` on the event loop when everything written so far is durable; at once if it is."""
        ...


class MemoryJournal:
    """Remembers nothing: a node that stops forgets its leases."""

    busy = False

    def write(self, changes: Changes) -> None:
        pass

    def note(self, key: str, value: str) -> None:
        pass

    def sync(self, then: Then) -> None:
        then()


class Committer(Protocol):
    """Makes batches durable, one after the other. All calls come from the event loop and return at once."""

    @property
    def path(self) -> Path:
        """Where the journal is."""
        ...

    @property
    def about(self) -> Mapping[str, str]:
        """What the journal knew of the node when it was opened."""
        ...

    @property
    def fence_floor(self) -> int:
        """The largest fence in the journal when it was opened."""
        ...

    def take_kept(self) -> Kept:
        """Return what was in the journal when it was opened, and keep it no longer."""
        ...

    def attach(self, loop: asyncio.AbstractEventLoop, committed: Then, failed: Callable[[str], None]) -> None:
        """Say which event loop is called back: `committed` after each batch, `failed` once, and then nothing more."""
        ...

    def commit(self, batch: Batch) -> None:
        """Begin to commit a batch; the one before was committed."""
        ...

    async def end(self, *, abruptly: bool) -> None:
        """Close the journal; abruptly, as a crash would."""
        ...


@dataclass(slots=True)
class _Commit:
    """One transaction, and who waits for it."""

    batch: Batch = field(default_factory=Batch)
    waiting: list[Then] = field(default_factory=list)
    urgent: bool = False


class GroupJournal:
    """The journal of one node: what is written while one commit runs is the next commit.

    After a write or a sync has failed nobody who waits is called any more, and `on_failure` is, once.
    """

    def __init__(self, committer: Committer) -> None:
        self.on_failure: Callable[[str], None] = lambda _reason: None
        self.path = committer.path
        self.about: Mapping[str, str] = committer.about
        self.take_kept: Callable[[], Kept] = committer.take_kept
        self._committer = committer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = _Commit()
        self._running: _Commit | None = None
        self._fence_floor = committer.fence_floor
        self._failed = False
        self._watch: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._closing: asyncio.Event | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which event loop writes and is called back."""
        self._loop = loop
        self._committer.attach(loop, self._committed, self._fail)

    @property
    def busy(self) -> bool:
        return self._running is not None or bool(self._next.batch)

    def write(self, changes: Changes) -> None:
        batch = self._next.batch
        batch.records.update(changes.records)
        gives = any(record is not None for _, record in changes.records)
        if changes.fence_floor > self._fence_floor:
            self._fence_floor = batch.fence_floor = changes.fence_floor
            gives = True
        if gives or self._loop is None:
            self._begin_now()
        elif self._linger is None:
            self._linger = self._loop.call_later(LINGER, self._begin_now)

    def note(self, key: str, value: str) -> None:
        self._next.batch.notes[key] = value
        if self._loop is not None:
            self._loop.call_soon(self._begin_now)

    def sync(self, then: Then) -> None:
        if self._next.batch or self._failed:
            self._next.waiting.append(then)
            self._begin_now()
        elif self._running is not None:
            self._running.waiting.append(then)
        else:
            then()

    def _begin_now(self) -> None:
        self._next.urgent = bool(self._next.batch)
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._begin()

    def _begin(self) -> None:
        if self._running is None and self._next.urgent and self._next.batch and not self._failed:
            self._running, self._next = self._next, _Commit()
            self._committer.commit(self._running.batch)
            if self._loop is not None:
                self._watch = self._loop.call_later(COMMIT_DEADLINE, self._fail, self._too_slow)

    def _committed(self) -> None:
        done, self._running = self._running, None
        self._watch_no_more()
        self._begin()
        if done is not None:
            for then in done.waiting:
                then()

    def _watch_no_more(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    @property
    def _too_slow(self) -> str:
        return f"the journal {self.path} hangs: a commit has not ended within {COMMIT_DEADLINE:g} s"

    def _fail(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            if self._closing is not None:
                self._closing.set()
            self.on_failure(reason)

    async def close(self) -> None:
        """Write what is still to be written, and close the file. Idempotent."""
        while self.busy and not self._failed:
            synced = self._closing = asyncio.Event()
            self.sync(synced.set)
            try:
                async with asyncio.timeout(CLOSE_DEADLINE):
                    await synced.wait()
            except TimeoutError:
                log.warning("journal_slow path=%s hint=%s", self.path, "its last commit did not end; left as it is")
                break
        await self._end(abruptly=False)

    async def abandon(self) -> None:
        """End as a crash would: what was not handed to the disk is lost."""
        self._failed = True
        await self._end(abruptly=True)

    async def _end(self, *, abruptly: bool) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._watch_no_more()
        await self._committer.end(abruptly=abruptly)
        self._loop = None


class DiskJournal(GroupJournal):
    """The journal in a data directory, committed by a thread of its own."""

    def __init__(self, directory: Path, about: Mapping[str, str]) -> None:
        """Open it, or make one that says `about`; blocks, and raises JournalRefused."""
        thread = StoreThread(directory, about)
        super().__init__(thread)
        self.statistics = thread.statistics
