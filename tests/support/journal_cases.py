"""Journals to write and to look into: short words for records, and what a file says when it is opened again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from lockmanager.wire import Mode, Space, Token
from lockmanager_node.records import Changes, LeaseRecord, Record
from lockmanager_node.store import FILE_NAME, Batch, Store

OWNER: Final = {"node": "node1", "cluster": "0" * 64}
WAL: Final = f"{FILE_NAME}-wal"
INCARNATION: Final = 7
FIRST_FENCE: Final = 1_000
"""The fence of lease n is this and n."""


def token_number(number: int) -> Token:
    """Return the token of a lease."""
    return Token(f"Token{number:027d}")


def lease(number: int, *, name: str = "", deadline: int = 10**9) -> LeaseRecord:
    """Return the record of a lease; what is not given follows from its number."""
    return LeaseRecord(
        token=token_number(number),
        space=Space.QUORUM,
        name=name or f"orders/{number}",
        label="a holder",
        ticket=number,
        ttl=10_000_000,
        mode=Mode.EXCLUSIVE,
        grant_id=(INCARNATION, number),
        fence=FIRST_FENCE + number,
        deadline=deadline,
        full_ttl=10_000_000,
        revoked=False,
    )


def grants(*numbers: int) -> Batch:
    """Return a batch that grants these leases."""
    return Batch({number: lease(number) for number in numbers}, fence_floor=FIRST_FENCE + max(numbers))


def ends(*numbers: int) -> Batch:
    """Return a batch in which these leases end."""
    return Batch(dict.fromkeys(numbers))


def granted(*numbers: int) -> Changes:
    """Return the changes of a table that granted these leases."""
    return Changes([(number, lease(number)) for number in numbers], FIRST_FENCE + max(numbers))


def ended(*numbers: int, fence: int = 0) -> Changes:
    """Return the changes of a table whose leases ended."""
    return Changes([(number, None) for number in numbers], fence)


@dataclass(frozen=True)
class Contents:
    """What a journal says. `notes` leaves out whose it is."""

    records: dict[int, Record]
    fence_floor: int
    notes: dict[str, str]

    @property
    def numbers(self) -> list[int]:
        """The numbers of all records."""
        return sorted(self.records)


EMPTY: Final = Contents({}, 0, {})


def after(batches: Iterable[Batch], before: Contents = EMPTY) -> Contents:
    """Return what a journal says when these batches were committed in this order."""
    records, fence_floor, notes = dict(before.records), before.fence_floor, dict(before.notes)
    for batch in batches:
        for number, record in batch.records.items():
            records.pop(number, None)
            if record is not None:
                records[number] = record
        fence_floor = batch.fence_floor or fence_floor
        notes |= batch.notes
    return Contents(records, fence_floor, notes)


@contextmanager
def opened(directory: Path, about: dict[str, str] = OWNER) -> Iterator[Store]:
    """Open a journal while the block runs."""
    store = Store(directory, about)
    try:
        yield store
    finally:
        store.abandon()


def contents(directory: Path, about: dict[str, str] = OWNER) -> Contents:
    """Open a journal, read it, and let go of it; raises JournalRefused."""
    with opened(directory, about) as store:
        kept = store.take_kept()
        notes = {key: value for key, value in store.about.items() if key not in about}
        return Contents(dict(kept.records), kept.fence_floor, notes)


def as_left(directory: Path, into: Path) -> Path:
    """Copy a journal's files as a process killed at this instant would leave them."""
    into.mkdir()
    for name in (FILE_NAME, WAL):
        if (directory / name).exists():
            shutil.copy(directory / name, into / name)
    return into


def alter(directory: Path, statement: str, *values: object) -> None:
    """Change a journal that nobody has open, behind its owner's back."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as db:
        db.execute(statement, values)


def rewrite(directory: Path, number: int, body: object, checksum: int | None = None) -> None:
    """Let another body stand under a number, with a checksum that fits unless one is given."""
    fitting = crc32(f"{number} {body}".encode()) if checksum is None else checksum
    alter(directory, "UPDATE record SET body = ?, checksum = ? WHERE number = ?", body, fitting, number)


class Faulty:
    """A connection that counts what it executes; at the n-th statement the disk fails, once."""

    def __init__(self, db: sqlite3.Connection, *, at: int) -> None:
        self._db = db
        self._at = at
        self.executed = 0

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        self.executed += 1
        if self.executed == self._at:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._db.execute(statement, values)

    def executescript(self, script: str) -> sqlite3.Cursor:
        return self.execute(script)

    def close(self) -> None:
        self._db.close()


def fail(store: Store, *, at: int) -> Faulty:
    """Let the n-th statement of an open journal from now on fail, once."""
    faulty = Faulty(store._db, at=at)
    store.__dict__["_db"] = faulty
    return faulty
