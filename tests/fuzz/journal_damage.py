"""Journals on disk, and what can become of their files: bits that turn, pages that change places, files that go."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lockmanager_node.records import AdoptedRecord, LeaseRecord, RevokedRecord
from lockmanager_node.store import FILE_NAME, Batch, Store
from tests.support.journal_cases import OWNER, WAL, Contents, after, as_left, ends, grants, opened

from .frames import modes, spaces
from .nonsense import Damage, damaged, damages, one_of_many, weighted, wild_integers, wild_texts

PAGE: Final = 4096

NOTES: Final = {"served": "yes", "boot": "the first boot", "first incarnation of node2": "7", "asks as": "9"}
COMMITS: Final = [
    Batch(notes=dict(NOTES)),
    *(grants(*range(first, first + 30)) for first in range(1, 150, 30)),
    ends(*range(1, 40, 7)),
    grants(200),
]
"""So many leases that they stand on several pages."""

STATES: Final = [after(COMMITS[:count]) for count in range(len(COMMITS) + 1)]


@dataclass(frozen=True)
class Journal:
    """A journal nobody has open: its files, and since which commit all of it is in the database."""

    files: dict[str, bytes]
    merged: int

    def __repr__(self) -> str:
        return f"Journal(merged={self.merged})"


@dataclass
class Workshop:
    """Where journals are damaged and opened."""

    directory: Path
    journals: list[Journal]
    count: int = 0

    def put(self, files: dict[str, bytes]) -> Path:
        """Write files into a directory of their own, in place of those before."""
        shutil.rmtree(self.directory / str(self.count), ignore_errors=True)
        self.count += 1
        fresh = self.directory / str(self.count)
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        return fresh


def _files(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in (FILE_NAME, WAL) if (directory / name).exists()}


def _written(directory: Path, *, merged: int) -> Journal:
    """Return a journal of all commits, of which the first `merged` were moved into the database."""
    with opened(directory / f"writing {merged}") as store:
        for number, batch in enumerate(COMMITS, 1):
            store.commit(batch)
            if number == merged:
                store._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return Journal(_files(as_left(directory / f"writing {merged}", directory / f"left {merged}")), merged)


def _closed(directory: Path) -> Journal:
    store = Store(directory / "closing", OWNER)
    for batch in COMMITS:
        store.commit(batch)
    store.close()
    return Journal({FILE_NAME: _files(directory / "closing")[FILE_NAME]}, len(COMMITS))


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Give a workshop in memory where there is one: thousands of files are made, and their disk is not the question."""
    memory = Path("/dev/shm")  # noqa: S108 - its contents are nobody's secret
    with tempfile.TemporaryDirectory(prefix="lockmanager-", dir=memory if memory.is_dir() else None) as name:
        directory = Path(name)
        yield Workshop(directory, [_closed(directory), _written(directory, merged=0), _written(directory, merged=4)])


# What becomes of bytes


def _page(number: int, change: Callable[[bytes], bytes]) -> Damage:
    """Change one page of a file, counted around its end."""

    def harm(data: bytes) -> bytes:
        at = number % max(1, len(data) // PAGE) * PAGE
        return data[:at] + change(data[at : at + PAGE]) + data[at + PAGE :]

    return harm


def _pages_exchanged(one: int, other: int) -> Damage:
    def exchange(data: bytes) -> bytes:
        pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
        if pages:
            first, second = one % len(pages), other % len(pages)
            pages[first], pages[second] = pages[second], pages[first]
        return b"".join(pages)

    return exchange


def _in_header(at: int, byte: int) -> Damage:
    return lambda data: data[:at] + bytes([byte]) + data[at + 1 :]


def _in_text(text: str, at: int, bit: int) -> Damage:
    """Turn a bit of a text, or close to it, where it stands in the file."""

    def turn(data: bytes) -> bytes:
        found = data.find(text.encode())
        place = found + at
        if found < 0 or not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

    return turn


TEXTS: Final = ["served", "first incarnation", "asks as", "boot", "node1", "0" * 64, "orders/77", '"lease"']

_pages = st.integers(0, 12)
_bits = st.integers(0, 7)
file_damages: SearchStrategy[Damage] = weighted(
    (4, damages),
    (3, st.builds(_page, _pages, damages)),
    (1, st.builds(_page, _pages, st.just(lambda page: bytes(len(page))))),
    (1, st.builds(_pages_exchanged, _pages, _pages)),
    (2, st.builds(_in_text, st.sampled_from(TEXTS), st.integers(-12, 40), _bits)),
    (2, st.builds(_in_header, st.integers(0, 99), st.integers(0, 255))),
    (1, st.just(lambda _: b"")),
)

# What becomes of rows

_numbers = st.sampled_from([0, 1, 40, 200])
row_values: SearchStrategy[Any] = st.one_of(
    st.none(), wild_integers.filter(lambda number: number < 1 << 63), st.floats(), wild_texts, st.binary(max_size=6)
)
_STATEMENTS: Final = [
    "UPDATE OR REPLACE record SET body = ?1 WHERE number = ?2",
    "UPDATE OR REPLACE record SET checksum = ?1 WHERE number = ?2",
    "UPDATE OR IGNORE record SET number = CAST(?1 AS INTEGER) WHERE number = ?2",
    "UPDATE record SET body = substr(body, 1, 20) || ?1 || substr(body, 21) WHERE number = ?2",
    "INSERT OR IGNORE INTO record SELECT 300 + ?2, body, checksum FROM record WHERE ?1 IS NOT NULL LIMIT 1",
]
Row = tuple[str, Any, int]
rows: SearchStrategy[Row] = st.tuples(one_of_many(_STATEMENTS), row_values, _numbers)


def spoil(directory: Path, statement: str, *values: object) -> bool:
    """Change a row of a journal nobody has open, where its table allows it; returns whether anything was."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as db:
        db.text_factory = bytes
        before = list(db.execute("SELECT * FROM record"))
        try:
            db.execute(statement, values)
        except sqlite3.IntegrityError:
            return False
        return list(db.execute("SELECT * FROM record")) != before


_grant_ids = st.tuples(wild_integers, wild_integers)
_standing = (spaces, wild_texts, wild_texts, wild_integers, modes, _grant_ids, *[wild_integers] * 3, st.booleans())
_records: SearchStrategy[Any] = st.one_of(
    st.builds(LeaseRecord, *_standing, wild_texts, wild_integers),
    st.builds(AdoptedRecord, *_standing, wild_texts),
    st.builds(RevokedRecord, wild_texts, wild_integers, wild_integers),
)
_as_json = st.builds(msgspec.json.encode, _records)
bodies_of_records = st.one_of(_as_json, damaged(_as_json), st.binary(max_size=20), st.just(b"9" * 5_000))
"""None that is nested without end: `test_a_record_nested_without_end_is_refused` is about these."""


def allowed(journal: Journal, *, wal_harmed: bool) -> list[Contents]:
    """Return what a damaged journal may say: all of it, or what it said before what stood in a harmed WAL."""
    return STATES[journal.merged if wal_harmed else len(COMMITS) :]
