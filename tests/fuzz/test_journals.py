"""A journal whose files or rows were damaged says what was acknowledged, or is refused, saying what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from zlib import crc32

import msgspec
from hypothesis import event
from hypothesis import strategies as st

from lockmanager_node.records import Record
from lockmanager_node.store import FILE_NAME, JournalRefused
from tests.support.journal_cases import OWNER, WAL, Contents, contents

from .journal_damage import (
    COMMITS,
    NOTES,
    STATES,
    Row,
    Workshop,
    allowed,
    bodies_of_records,
    file_damages,
    row_values,
    rows,
    spoil,
    workshop,
)
from .nonsense import Damage
from .properties import holds

ADVICE = ("replace this node", "put the missing file back", "is there space", "data directory")
SECRET = "Token0000"


def _said(directory: Path) -> Contents | None:
    """Return what a journal says, or None when it is refused, in words that name it, what to do, and no token."""
    try:
        return contents(directory, OWNER)
    except JournalRefused as refused:
        text = str(refused)
        assert str(directory / FILE_NAME) in text
        assert any(advice in text for advice in ADVICE), text
        assert SECRET not in text
        return None


def _harmed(files: dict[str, bytes], name: str, harm: list[Damage]) -> dict[str, bytes]:
    data = files[name]
    for damage in harm:
        data = damage(data)
    return {**files, name: data}


def _leases(said: Contents) -> tuple[object, ...]:
    """Return what was acknowledged; `test_one_damaged_byte_does_not_make_a_node_forget` is about the notes."""
    return said.records, said.fence_floor


_harms = st.lists(file_damages, min_size=1, max_size=3)
_which = st.integers(0, 2)


@holds("journal", workshop, examples=150, which=_which, harm=_harms)
def test_a_damaged_database_says_everything_or_is_refused(shop: Workshop, which: int, harm: list[Damage]) -> None:
    journal = shop.journals[which]
    said = _said(shop.put(_harmed(journal.files, FILE_NAME, harm)))
    event("refused" if said is None else "read")
    assert said is None or _leases(said) == _leases(STATES[-1])


@holds("journal", workshop, examples=60, which=st.integers(1, 2), harm=_harms)
def test_a_damaged_wal_says_what_was_so_after_some_commit(shop: Workshop, which: int, harm: list[Damage]) -> None:
    """SQLite reads a WAL up to the first frame that is not whole: it cannot tell damage from a commit cut short."""
    journal = shop.journals[which]
    said = _said(shop.put(_harmed(journal.files, WAL, harm)))
    event("refused" if said is None else f"after commit {STATES.index(said) if said in STATES else '?'}")
    assert said is None or said in allowed(journal, wal_harmed=True)


@holds("journal", workshop, examples=60, row=rows)
def test_a_row_that_was_changed_is_refused(shop: Workshop, row: Row) -> None:
    directory = shop.put(shop.journals[0].files)
    changed = spoil(directory, *row)
    said = _said(directory)
    event(f"{changed} {'refused' if said is None else 'read'}")
    assert said is None if changed else said == STATES[-1]


@holds("journal", workshop, examples=30, which=_which, other=_which, lost=st.sampled_from(["", FILE_NAME, WAL]))
def test_files_of_different_journals_are_not_taken_for_one(shop: Workshop, which: int, other: int, lost: str) -> None:
    """Neither a missing file nor the WAL of another life makes a journal say what it never said."""
    own, foreign = shop.journals[which], shop.journals[other]
    files = {FILE_NAME: own.files[FILE_NAME]} | {name: data for name, data in foreign.files.items() if name == WAL}
    files.pop(lost, None)
    said = _said(shop.put(files))
    event("refused" if said is None else "read")
    assert said is None or said in allowed(own, wal_harmed=True) or not files


@holds(
    "journal",
    workshop,
    examples=30,
    tables=st.lists(st.sampled_from(["about", "record", "x"]), max_size=2),
    data=st.binary(max_size=200),
)
def test_somebody_elses_database_is_refused_and_left_alone(shop: Workshop, tables: list[str], data: bytes) -> None:
    directory = shop.put({})
    with closing(sqlite3.connect(directory / FILE_NAME)) as db:
        for table in dict.fromkeys(tables):
            db.execute(f"CREATE TABLE {table} (number, body)")
            db.execute(f"INSERT INTO {table} VALUES (1, ?)", (data,))  # noqa: S608 - the names above
        db.commit()
    before = (directory / FILE_NAME).read_bytes()
    assert _said(directory) is None
    assert (directory / FILE_NAME).read_bytes() == before


@holds("journal", workshop, examples=40, key=st.sampled_from([*NOTES, *OWNER]), value=row_values)
def test_a_note_of_any_value_is_read_or_refused(shop: Workshop, key: str, value: object) -> None:
    directory = shop.put(shop.journals[0].files)
    spoil(directory, "UPDATE OR IGNORE about SET value = ?2 WHERE key = ?1", key, value)
    said = _said(directory)
    assert said is None or _leases(said) == _leases(STATES[-1])


@holds("journal", workshop, examples=60, number=st.sampled_from([0, 1, 300]), body=bodies_of_records)
def test_a_record_that_makes_no_sense_is_refused_though_its_checksum_fits(
    shop: Workshop, number: int, body: bytes
) -> None:
    """What is read is what stands there: the same again when it is written."""
    text = body.decode("utf-8", "replace")
    directory = shop.put(shop.journals[0].files)
    checksum = crc32(f"{number} {text}".encode())
    spoil(directory, "INSERT OR REPLACE INTO record VALUES (?, ?, ?)", number, text, checksum)
    said = _said(directory)
    event("refused" if said is None else "read")
    if said is not None and number:
        assert _same(said.records[number], text)


def _same(record: Record, text: str) -> bool:
    again: Record = msgspec.json.decode(msgspec.json.encode(record), type=Record)
    plain: list[object] = msgspec.json.decode(text)
    return again == record and msgspec.json.decode(msgspec.json.encode(record)) == plain


def test_the_journals_that_are_damaged_say_everything_before() -> None:
    with workshop() as shop:
        for journal in shop.journals:
            assert _said(shop.put(journal.files)) == STATES[-1]
            assert len(journal.files[FILE_NAME]) > 4096 or journal.merged == 0
        assert len(STATES) == len(COMMITS) + 1
