"""A disk that keeps a node's journal: what is synced outlives its machine, what is only written its process.

It stands where the thread and the file of the real journal stand; which batch is committed when, and who is told, is
decided by the real code. Records go through their encoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from lockmanager_node.records import Kept, Record
from lockmanager_node.store import Batch
from tests.simulation.clockwork import Process, Scheduler

FAST = 2_000
"""The longest a commit takes on a disk without fault, in microseconds."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


@dataclass(slots=True)
class SimDisk:
    """What was written, batch after batch; the first `synced` of them are safe from everything but the loss of it.

    `fast` and `slow` are the shortest and the longest commit in microseconds; while it `fails` each is refused, and
    while it `hangs` none ends. `on_fault` is told of a kind that it `awaits` when a commit meets it, once.
    """

    chance: Random
    batches: list[Batch] = field(default_factory=list)
    synced: int = 0
    fast: int = 100
    slow: int = FAST
    fails: bool = False
    hangs: bool = False
    on_fault: Callable[[str], None] = lambda _kind: None
    awaited: set[str] = field(default_factory=set)

    def awaits(self, kind: str) -> None:
        """Let a kind of fault be told of when a commit meets it."""
        self.awaited.add(kind)

    def meets(self, kind: str) -> None:
        """Tell of a fault that strikes a commit, unless that was told."""
        if kind in self.awaited:
            self.awaited.remove(kind)
            self.on_fault(kind)

    def write(self, batch: Batch) -> None:
        self.batches.append(batch)
        if batch.gives:
            self.synced = len(self.batches)

    def is_known(self, key: str) -> bool:
        """Say whether something is noted under a key, and synced."""
        return any(key in batch.notes for batch in self.batches[: self.synced])

    def lose_power(self) -> int:
        """Lose some of what was written and not synced; returns how many batches."""
        keeps = self.chance.randint(self.synced, len(self.batches))
        lost = len(self.batches) - keeps
        del self.batches[keeps:]
        return lost

    def lose(self) -> None:
        """Lose everything."""
        self.batches.clear()
        self.synced = 0

    def read(self) -> tuple[dict[str, str], Kept]:
        """Return what the file would say, and keep only that."""
        whole = Batch()
        for batch in self.batches:
            whole.records |= batch.records
            whole.notes |= batch.notes
            whole.fence_floor = max(whole.fence_floor, batch.fence_floor)
        whole.records = {number: one for number, one in whole.records.items() if one is not None}
        self.batches, self.synced = [whole], 1
        records = [(number, _decoder.decode(_encoder.encode(one))) for number, one in sorted(whole.records.items())]
        return dict(whole.notes), Kept(records, whole.fence_floor)


class SimCommitter:
    """Commits the batches of one life of a node; see `lockmanager_node.journal.Committer`."""

    path = Path("/simulated/journal.db")

    def __init__(self, disk: SimDisk, scheduler: Scheduler, process: Process) -> None:
        self.about: Mapping[str, str]
        self.about, self._kept = disk.read()
        self.fence_floor = self._kept.fence_floor
        self.running: Batch | None = None
        self._disk, self._scheduler, self._process = disk, scheduler, process
        self._committed: Callable[[], None] = lambda: None
        self._failed: Callable[[str], None] = lambda _reason: None

    def take_kept(self) -> Kept:
        return self._kept

    def attach(
        self, loop: asyncio.AbstractEventLoop, committed: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        del loop  # what finishes is posted to the process
        self._committed, self._failed = committed, failed

    def commit(self, batch: Batch) -> None:
        if not self._process.alive:
            return
        self.running = batch
        disk = self._disk
        if disk.hangs:
            disk.meets("disk hangs")
            return
        takes = disk.chance.randint(disk.fast, disk.slow)
        if takes > FAST:
            disk.meets("commits slow")
        self._scheduler.after(takes, self._finish)

    async def end(self, *, abruptly: bool) -> None:
        pass

    def cut_off(self) -> None:
        """End amid what is being committed: that may have been written, or not."""
        batch, self.running = self.running, None
        if batch is not None and self._disk.chance.random() < 0.5:
            self._disk.write(batch)

    def _finish(self) -> None:
        batch, self.running = self.running, None
        if batch is None:
            return
        if self._disk.fails:
            self._disk.meets("disk full")
            self._process.post(self._failed, "the disk is full")
        else:
            self._disk.write(batch)
            self._process.post(self._committed)
