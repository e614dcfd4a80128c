"""The journal's file: an SQLite database in WAL mode that one thread of one process uses. Blocking.

Two tables. `about`: whose journal it is, and what the node must remember of its own life. `record`: one row for each
lease and each token revoked by force, and the largest fence under number 0. Each row of both carries a checksum,
because SQLite has none for its pages. Whatever is wrong with a file that exists is a refusal to open it: an empty
journal and one that cannot be read are never taken for each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from .records import Kept, Record

FILE_NAME: Final = "journal.db"
SCHEMA_VERSION: Final = 2
"""Version 1 had no checksums in `about`; it is read once more, and becomes version 2."""

_LARGEST_WAL: Final = 16 << 20
_KEPT_WAL: Final = 8 << 20
"""Bytes of WAL that call for tidying at once, and that stay allocated after it."""

_APPLICATION_ID: Final = 0x4C4B4D4A  # "LKMJ": tells our files from other databases
_SCHEMA: Final = (
    "PRAGMA auto_vacuum = INCREMENTAL",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE record (number INTEGER PRIMARY KEY, body TEXT NOT NULL, checksum INTEGER NOT NULL)",
)
_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 0",
    f"PRAGMA journal_size_limit = {_KEPT_WAL}",
    "PRAGMA cell_size_check = ON",
)
# One statement for thousands of rows: the interpreter lets go of its lock once, not once per row, and a busy event loop
# would take milliseconds to give it back each time.
_ROWS: Final = (
    "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)"
)
_PUT: Final = f"INSERT OR REPLACE INTO record {_ROWS}"
_NOTE: Final = f"INSERT OR REPLACE INTO about {_ROWS}"
_END: Final = "DELETE FROM record WHERE number IN (SELECT value FROM json_each(?))"

_ROWS_AT_ONCE: Final = 5_000
"""SQLite takes no text of a thousand million bytes; after another boot a batch holds every lease of the node."""

_FENCE_FLOOR: Final = 0
_TIDY_AT: Final = 1_000
_TIDY_AT_LATEST: Final = 4_000
"""Pages that may have been written to the WAL, about, before they are moved into the database."""

_FREE_PAGES: Final = 1_000
REPLACE: Final = "replace this node: stop it, empty its data directory and start it again (it rejoins from its peers)"

_PRIMARY_CODE: Final = 0xFF
_OF_THE_DISK: Final = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
"""What SQLite says of a disk or of permissions rather than of what is in the file."""

_Key = TypeVar("_Key", int, str)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class JournalRefused(Exception):
    """The journal cannot be used; says where it is, what is wrong and what to do."""


@dataclass(slots=True)
class Batch:
    """What one transaction writes. `notes` are rows of `about`."""

    records: dict[int, Record | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    fence_floor: int = 0

    def __bool__(self) -> bool:
        return bool(self.records or self.notes or self.fence_floor)

    @property
    def gives(self) -> bool:
        """Whether somebody is told something that must not be forgotten; otherwise leases only end."""
        return bool(self.fence_floor or self.notes) or any(record is not None for record in self.records.values())


class Store:
    """The open file. Every method may raise sqlite3.Error; after that the file must not be written any more."""

    def __init__(self, directory: Path, about: Mapping[str, str]) -> None:
        """Open the journal in `directory`, or make one that says `about`; raises JournalRefused.

        An existing one must agree with everything in `about`.
        """
        self.path = directory / FILE_NAME
        self._wal = directory / f"{FILE_NAME}-wal"
        self._durable = False
        self._untidy = 0
        try:
            _make_directory(directory)
            with _alone_in(directory):
                _prepare(self.path, self._wal, about)
                self._db = _connect(self.path)
                self._read(about)
        except OSError as error:
            raise JournalRefused(f"the journal {self.path} cannot be opened: {_why(error)}") from None
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    # Reading

    def _read(self, about: Mapping[str, str]) -> None:
        try:
            self._check_format()
            self.about = self._read_about()
            self._check_owner(about)
            if self._is_old:
                _upgrade(self._db, self.about)
            self._kept: Kept | None = self._read_records()
            self.fence_floor = self._kept.fence_floor
        except BaseException:  # whatever it was, it is raised again: the file must not stay locked
            self._db.close()
            raise

    def take_kept(self) -> Kept:
        """Return what was in the file when it was opened, and keep it no longer."""
        kept, self._kept = self._kept, None
        if kept is None:
            raise RuntimeError(f"what the journal {self.path} knew was taken before")
        return kept

    def _check_format(self) -> None:
        """Refuse what is not ours before anything in it is changed."""
        if self._pragma("application_id") != _APPLICATION_ID:
            raise self._corrupt("it is not a journal of a lock node")
        if (version := self._pragma("user_version")) > SCHEMA_VERSION:
            raise JournalRefused(
                f"the journal {self.path} has version {version}, and this node knows "
                f"{SCHEMA_VERSION} at most; start the newer version of the node, or {REPLACE}"
            )

    def _read_about(self) -> dict[str, str]:
        for statement in _SETTINGS:
            self._db.execute(statement)
        complaint = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if complaint != "ok":
            raise self._corrupt(complaint.splitlines()[-1])
        if self._is_old:
            return dict(self._db.execute("SELECT key, value FROM about"))
        about = {}
        for key, value, checksum in self._db.execute("SELECT key, value, checksum FROM about"):
            if checksum != _checksum(key, value):
                raise self._corrupt("the checksum of a note about the node is wrong")
            about[key] = value
        return about

    @property
    def _is_old(self) -> bool:
        """Whether the notes have no checksums yet."""
        return self._pragma("user_version") < SCHEMA_VERSION

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _check_owner(self, expected: Mapping[str, str]) -> None:
        for key, mine in expected.items():
            found = self.about.get(key)
            if found is None:
                raise self._corrupt(f"it does not say which {key} it belongs to")
            if found != mine:
                raise JournalRefused(
                    f"the journal {self.path} belongs to {key} {found[:64]!r}, and this is {mine[:64]!r}; give this "
                    f"node its own data directory, or {REPLACE}"
                )

    def _read_records(self) -> Kept:
        records, fence_floor = [], 0
        for number, body, checksum in self._db.execute("SELECT number, body, checksum FROM record"):
            if checksum != _checksum(number, body):
                raise self._corrupt(f"the checksum of record {number} is wrong")
            try:
                if number == _FENCE_FLOOR:
                    fence_floor = msgspec.json.decode(body, type=int)
                else:
                    records.append((number, _decoder.decode(body)))
            except (msgspec.MsgspecError, TypeError, RecursionError):
                # Not the error's own words: they may quote the record, and a token is in it.
                raise self._corrupt(f"record {number} makes no sense") from None
        return Kept(records, fence_floor)

    def _refusal(self, error: sqlite3.Error) -> JournalRefused:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY_CODE
        if code == sqlite3.SQLITE_BUSY:
            return JournalRefused(
                f"the journal {self.path} is in use by another process; give each node a data directory of its own"
            )
        if code in _OF_THE_DISK:
            return JournalRefused(
                f"the journal {self.path} cannot be made: {error}; is there space, and may this node write there?"
            )
        return self._corrupt(str(error))

    def _corrupt(self, what: str) -> JournalRefused:
        return JournalRefused(f"the journal {self.path} is damaged ({what}); {REPLACE}")

    # Writing

    def commit(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing; when it gives anything it is synced to the disk before this returns.

        A batch in which leases only end survives the end of the process at once, and that of the machine with the
        next batch that gives.
        """
        steps = list(_steps(batch))
        self._set_durable(durable=batch.gives)
        if len(steps) > 1:
            self._db.execute("BEGIN")
        for statement, values in steps:
            self._db.execute(statement, (values,))
        if len(steps) > 1:
            self._db.execute("COMMIT")
        self._untidy += 2 + len(batch.records) // 8

    def _set_durable(self, *, durable: bool) -> None:
        if self._durable is not durable:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def tidy(self, *, idle: bool) -> None:
        """Move what was written into the database, if it is time to; sooner when nobody waits for the next commit."""
        if self._untidy >= (_TIDY_AT if idle else _TIDY_AT_LATEST) or self._wal_size() > _LARGEST_WAL:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._untidy = 0
            if idle and self._pragma("freelist_count") > _FREE_PAGES:
                # As a script: it gives back one page per step, and `execute` takes a single one.
                self._db.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")

    def _wal_size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Leave one file that says everything."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.close()

    def abandon(self) -> None:
        """Let go of the file after a failure: what was committed stays, and nothing else is written."""
        with suppress(sqlite3.Error):
            self._db.close()


def _steps(batch: Batch) -> Iterable[tuple[str, str]]:
    put: list[tuple[int, Record | int]] = [(number, one) for number, one in batch.records.items() if one is not None]
    if batch.fence_floor:
        put.append((_FENCE_FLOOR, batch.fence_floor))
    for first in range(0, len(put), _ROWS_AT_ONCE):
        rows = [_row(number, _encoder.encode(one).decode()) for number, one in put[first : first + _ROWS_AT_ONCE]]
        yield _PUT, _encoder.encode(rows).decode()
    ended = [number for number, record in batch.records.items() if record is None]
    if ended:
        yield _END, _encoder.encode(ended).decode()
    if batch.notes:
        yield _NOTE, _notes(batch.notes)


def _row(key: _Key, body: str) -> tuple[_Key, str, int]:
    return key, body, _checksum(key, body)


def _notes(notes: Mapping[str, str]) -> str:
    return _encoder.encode([_row(key, value) for key, value in notes.items()]).decode()


def _checksum(key: int | str, body: str) -> int:
    return crc32(f"{key} {body}".encode())


def _upgrade(db: sqlite3.Connection, about: Mapping[str, str]) -> None:
    """Give the rows of `about` their checksums."""
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN")
    db.execute("ALTER TABLE about ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    db.execute(_NOTE, (_notes(about),))
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    db.execute("PRAGMA synchronous = NORMAL")


def _prepare(path: Path, wal: Path, about: Mapping[str, str]) -> None:
    """Make a journal where there is none. It gets its name when it is whole, so that a half-made one is never met."""
    if path.exists():
        return
    if wal.exists():
        raise JournalRefused(
            f"the journal {path} is missing, and {wal.name} beside it is not: put the missing file back, or {REPLACE}"
        )
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        for statement in _SCHEMA[:1]:
            db.execute(statement)
        db.execute("BEGIN")
        for statement in _SCHEMA[1:]:
            db.execute(statement)
        db.execute(_NOTE, (_notes(about),))
        db.execute("COMMIT")
    unfinished.replace(path)
    _sync_directory(path.parent)


def _make_directory(directory: Path) -> None:
    """Make it and its parents where they are missing, so that they outlive the machine's next crash."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in missing:
        _sync_directory(one.parent)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let one process at a time open a journal here: of two that begin together one has it, and makes it once.

    Where the file system cannot lock a directory, only the lock on an existing journal keeps the second out.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    # The exclusive lock keeps a second process out, and with it SQLite needs no shared memory.
    db = sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True, isolation_level=None, timeout=0)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Damaged text must fail its checksum, not the reading: that error would quote it.
    db.text_factory = partial(str, encoding="utf-8", errors="replace")
    return db


def _why(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.strerror}; the data directory must be writable for uid {os.geteuid()}"
    return f"{error.strerror}; give the node a data directory it can use"
