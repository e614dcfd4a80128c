"""Keep what slices found: one file per part, one JSON line per slice, whole lines only.

A line is written at once when its slice is complete. Whatever stops the writer, at most the line being written is lost.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tests.evidence.record import Record

SEEDS_PER_SLICE: Final = 1_000_003
"""A slice given the seed s may draw from s, s + 1, ... below s + this; a prime, so that remainders go through all."""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a slice ran, in general terms."""

    cores: int
    memory_gib: int
    python: str
    kernel: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slice that was complete, or failed: then there is no record, and `failure` says why."""

    state: str
    commit: str
    committed: bool
    seed: int
    ended: str
    machine: Machine
    record: Record | None = None
    failure: str = ""
    other_seeds: tuple[int, ...] = ()
    """Those of further slices that are part of the record: what a report told is taken over as one entry."""

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of all slices it stands for."""
        return (*self.other_seeds, self.seed)


class Store:
    """The entries of all parts below one directory, which git does not see."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> None:
        """Make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / ".gitignore").write_text("*\n", encoding="utf-8")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from writing; raises RuntimeError when somebody does."""
        self.open()
        with (self.directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(f"another run writes to {self.directory}: wait for it, or stop it") from None
            yield

    def add(self, part: str, entry: Entry) -> None:
        """Write one entry, and wait until the disk has it."""
        self.open()
        with self._path(part).open("a+b") as file:
            _drop_torn_line(file.fileno())
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self, part: str) -> list[Entry]:
        """Return all whole entries of a part, of every state of the code."""
        path = self._path(part)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [msgspec.json.decode(line, type=Entry) for line in lines]

    def next_seed(self, part: str) -> int:
        """Return the first seed that no slice of this part was given yet, in no state of the code."""
        taken = [entry.seed // SEEDS_PER_SLICE for entry in self.entries(part)]
        return (max(taken, default=-1) + 1) * SEEDS_PER_SLICE

    def _path(self, part: str) -> Path:
        return self.directory / f"{part}.jsonl"


def _drop_torn_line(file: int) -> None:
    """Cut off what a writer left behind that died in the middle of a line."""
    size = os.fstat(file).st_size
    whole = os.pread(file, size, 0).rfind(b"\n") + 1
    if whole != size:
        os.ftruncate(file, whole)
