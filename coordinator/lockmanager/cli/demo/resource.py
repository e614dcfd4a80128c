"""The resource that the lock protects: a SQLite table that refuses whoever comes with an old fence.

This is the whole guard, one statement: compare with the largest fence seen and write, in one step.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_DEADLINE: Final = 5.0
"""Seconds a write may wait for one of another process."""

_GUARDED: Final = """
INSERT INTO writes (fence, worker)
SELECT :fence, :worker WHERE :fence > (SELECT coalesce(max(fence), 0) FROM writes)
"""
_UNGUARDED: Final = "INSERT INTO writes (fence, worker) VALUES (:fence, :worker)"


class Resource:
    """One process's connection to the table. `guarded=False` leaves the guard out, to show that it is needed."""

    def __init__(self, path: Path, *, guarded: bool = True) -> None:
        self._statement = _GUARDED if guarded else _UNGUARDED
        self._connection = sqlite3.connect(path, timeout=_DEADLINE, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("CREATE TABLE IF NOT EXISTS writes (fence INTEGER NOT NULL, worker TEXT NOT NULL)")

    def write(self, fence: int, worker: str) -> bool:
        """Write under a fence; returns False when the table has seen a fence that is not smaller."""
        return self._connection.execute(self._statement, {"fence": fence, "worker": worker}).rowcount == 1

    def rows(self) -> list[tuple[int, str]]:
        """Return (fence, worker) of every write that was accepted, in the order they came."""
        return self._connection.execute("SELECT fence, worker FROM writes ORDER BY rowid").fetchall()

    def swap_last_fences(self) -> None:
        """Falsify the record, to show that whoever checks it notices."""
        (last, latest), (before, earlier) = self._connection.execute(
            "SELECT rowid, fence FROM writes ORDER BY rowid DESC LIMIT 2"
        ).fetchall()
        update = "UPDATE writes SET fence = ? WHERE rowid = ?"
        self._connection.executemany(update, [(earlier, last), (latest, before)])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
