"""A journal that cannot be used is refused, with its path, what is wrong and what to do, and never taken for empty."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

import msgspec
import pytest

from lockmanager_node import store
from lockmanager_node.store import FILE_NAME, SCHEMA_VERSION, Batch, JournalRefused, Store
from tests.support.journal_cases import (
    EMPTY,
    OWNER,
    WAL,
    alter,
    as_left,
    contents,
    grants,
    lease,
    opened,
    rewrite,
    token_number,
)

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65_534
DEADLINE = 10.0
WAY_OUT = ("replace this node", "rejoins")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A directory with a closed journal of three leases."""
    written = Store(tmp_path, OWNER)
    written.commit(grants(1, 2, 3))
    written.commit(Batch(notes={"served": "yes"}))
    written.close()
    return tmp_path


def refusal(directory: Path, about: dict[str, str] = OWNER) -> str:
    """Return why a journal is refused; the text always says which journal."""
    with pytest.raises(JournalRefused) as refused:
        contents(directory, about)
    text = str(refused.value)
    assert str(directory / FILE_NAME) in text
    return text


def says(text: str, *words: str) -> bool:
    assert [word for word in words if word not in text] == [], text
    return True


# Somebody else's


@pytest.mark.parametrize("key", OWNER)
def test_the_journal_of_another_node_or_cluster_is_refused(journal: Path, key: str) -> None:
    text = refusal(journal, OWNER | {key: "another one"})
    assert says(text, key, repr(OWNER[key]), repr("another one"), "its own data directory", *WAY_OUT)


def test_a_journal_that_does_not_say_whose_it_is_is_refused(journal: Path) -> None:
    alter(journal, "DELETE FROM about WHERE key = 'node'")
    assert says(refusal(journal), "does not say which node", *WAY_OUT)


def test_the_journal_of_a_newer_version_is_refused(journal: Path) -> None:
    alter(journal, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    text = refusal(journal)
    assert says(text, f"version {SCHEMA_VERSION + 1}", f"{SCHEMA_VERSION} at most", "start the newer version", *WAY_OUT)


@pytest.mark.parametrize("change", ["value = 'no'", "key = 'servee'", "checksum = checksum + 1"])
def test_a_note_whose_checksum_is_wrong_is_refused(journal: Path, change: str) -> None:
    alter(journal, f"UPDATE about SET {change} WHERE key = 'served'")  # noqa: S608
    assert says(refusal(journal), "the checksum of a note about the node is wrong", *WAY_OUT)


# Of an older version


def to_version_1(directory: Path) -> None:
    for statement in ("ALTER TABLE about DROP COLUMN checksum", "PRAGMA user_version = 1"):
        alter(directory, statement)


def test_a_journal_of_version_1_is_read_and_has_checksums_from_then_on(journal: Path) -> None:
    before = contents(journal)
    to_version_1(journal)
    assert contents(journal) == before
    alter(journal, "UPDATE about SET value = 'no' WHERE key = 'served'")
    assert says(refusal(journal), "the checksum of a note")


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION])
def test_a_refused_journal_stays_as_it_is(journal: Path, version: int) -> None:
    if version == 1:
        to_version_1(journal)
    before = (journal / FILE_NAME).read_bytes()
    refusal(journal, OWNER | {"node": "node2"})
    assert (journal / FILE_NAME).read_bytes() == before
    assert contents(journal).numbers == [1, 2, 3]


# Not a journal


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1_000)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE record (number, body, checksum)")


def another_application(path: Path) -> None:
    alter(path.parent, "PRAGMA application_id = 1")


def a_table_less(path: Path) -> None:
    alter(path.parent, "DROP TABLE about")


def half_a_header(path: Path) -> None:
    os.truncate(path, 50)


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


NOT_JOURNALS = [
    empty,
    garbage,
    zeros,
    another_program,
    another_application,
    a_table_less,
    half_a_header,
    half,
]


@pytest.mark.parametrize("spoil", NOT_JOURNALS, ids=lambda spoil: spoil.__name__)
def test_a_file_that_is_no_journal_is_refused_and_not_touched(journal: Path, spoil: Callable[[Path], None]) -> None:
    spoil(journal / FILE_NAME)
    before = (journal / FILE_NAME).read_bytes()
    assert says(refusal(journal), "is damaged", *WAY_OUT)
    assert (journal / FILE_NAME).read_bytes() == before
    assert says(refusal(journal), "is damaged", *WAY_OUT)


def test_a_directory_in_place_of_the_journal_is_refused(journal: Path) -> None:
    a_directory(journal / FILE_NAME)
    assert says(refusal(journal), "cannot be made", "unable to open")


def test_a_wal_without_its_journal_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with opened(directory) as journal:
        journal.commit(grants(1))
        left = as_left(directory, tmp_path / "left")
    (left / FILE_NAME).unlink()
    assert says(refusal(left), "is missing", WAL, "put the missing file back", *WAY_OUT)
    assert [path.name for path in left.iterdir()] == [WAL]


# Damaged records


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, 'orders/1', 'orders/2')",
        "body = substr(body, 1, length(body) - 1)",
        "body = ''",
        "body = CAST(body AS BLOB)",
        "body = CAST(CAST(body AS BLOB) || x'ff' AS TEXT)",
        "checksum = checksum + 1",
        "checksum = 'none'",
        "checksum = -1",
        "number = 7",
    ],
)
def test_a_record_that_is_not_what_was_written_is_refused(journal: Path, change: str) -> None:
    alter(journal, f"UPDATE record SET {change} WHERE number = 1")  # noqa: S608 - the changes above
    assert says(text := refusal(journal), "is damaged", "checksum of record", *WAY_OUT)
    assert token_number(1) not in text


@pytest.mark.parametrize(
    "body",
    [
        "[",
        "null",
        "{}",
        '["lease"]',
        '["unknown",1]',
        msgspec.json.encode([*msgspec.json.decode(msgspec.json.encode(lease(1))), token_number(1)]).decode(),
        msgspec.json.encode(["revoked", token_number(1), "soon", 1]).decode(),
        msgspec.json.encode([token_number(1), 1, 1]).decode(),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_though_its_checksum_fits(journal: Path, body: str) -> None:
    rewrite(journal, 1, body)
    text = refusal(journal)
    assert says(text, "is damaged", *WAY_OUT)
    assert token_number(1) not in text


@pytest.mark.parametrize("body", ["", "1.5", '"7"', "null", "[]", "x"])
def test_a_largest_fence_that_is_no_number_is_refused(journal: Path, body: str) -> None:
    rewrite(journal, 0, body)
    assert says(refusal(journal), "is damaged", *WAY_OUT)


@pytest.mark.parametrize("column", ["key", "value"])
@pytest.mark.parametrize("key", ["node", "served"])
def test_what_the_journal_says_of_its_node_must_be_text(journal: Path, key: str, column: str) -> None:
    alter(journal, f"UPDATE about SET {column} = CAST({column} || x'ff' AS TEXT) WHERE key = ?", key)  # noqa: S608
    assert says(refusal(journal), "the checksum of a note about the node is wrong", *WAY_OUT)


# In use


_HOLD = """
import sys
from pathlib import Path
from lockmanager_node.store import Store
from tests.support.journal_cases import OWNER, grants
store = Store(Path(sys.argv[1]), OWNER)
store.commit(grants(1))
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_has(directory: Path) -> Iterator[None]:
    """Let a process of its own keep the journal open while the block runs, with lease 1 in it."""
    command = [sys.executable, "-c", _HOLD, str(directory)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "open\n"
            yield
        finally:
            holder.kill()


def test_a_journal_that_another_process_uses_is_refused_until_that_ends(tmp_path: Path) -> None:
    with another_process_has(tmp_path):
        for _ in range(2):
            text = refusal(tmp_path)
            assert says(text, "in use by another process", "data directory of its own")
            assert "replace this node" not in text  # it would be the wrong way out
    assert contents(tmp_path).numbers == [1]


def test_a_journal_that_this_process_uses_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert says(refusal(tmp_path), "in use by another process")


def test_of_two_that_begin_together_one_is_refused(tmp_path: Path) -> None:
    both = Barrier(2)

    def begin(directory: Path, number: int) -> int | str:
        both.wait(DEADLINE)
        try:
            with opened(directory) as journal:
                both.wait(DEADLINE)
                journal.commit(grants(number))
                return number
        except JournalRefused as refused:
            both.wait(DEADLINE)
            return str(refused)

    with ThreadPoolExecutor(2) as threads:
        for attempt in range(40):
            directory = tmp_path / str(attempt)
            outcomes = list(threads.map(begin, [directory, directory], [1, 2]))
            opened_by = [outcome for outcome in outcomes if isinstance(outcome, int)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
            assert (len(opened_by), len(refused)) == (1, 1), outcomes
            assert says(refused[0], "in use by another process")
            assert contents(directory).numbers == opened_by


# A place that cannot be used


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose parents everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="lockmanager-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def ordinary_user() -> Iterator[int]:
    """Be somebody whom permissions concern, while the block runs."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(before)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert says(refusal(tmp_path / "data"), "cannot be opened", "File exists", "data directory it can use")
    assert says(refusal(tmp_path / "data" / "deeper"), "cannot be opened", "Not a directory")


@pytest.mark.parametrize("directory", [".", "deeper", "deeper/still"])
def test_a_directory_that_must_not_be_written_is_refused(place: Path, directory: str) -> None:
    place.chmod(0o555)
    with ordinary_user() as user:
        text = refusal(place / directory)
    assert says(text, "cannot be opened", "Permission denied", f"writable for uid {user}")


def test_a_directory_that_must_not_be_entered_is_refused(place: Path) -> None:
    contents(place / "data")
    place.chmod(0o600)
    with ordinary_user() as user:
        text = refusal(place / "data")
    place.chmod(0o700)
    assert says(text, "cannot be opened", "Permission denied", f"writable for uid {user}")
    assert contents(place / "data") == EMPTY


@pytest.mark.parametrize("permissions", [0o000, 0o444])
def test_a_journal_that_must_not_be_read_or_written_is_refused(place: Path, permissions: int) -> None:
    with opened(place) as written:
        written.commit(grants(1))
    (place / FILE_NAME).chmod(permissions)
    place.chmod(0o777)
    with ordinary_user():
        text = refusal(place)
    assert says(text, "cannot be made", "may this node write there?")
    assert "replace this node" not in text  # nothing is wrong with what is in it
    (place / FILE_NAME).chmod(0o600)
    assert contents(place).numbers == [1]


def full_disk() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def test_a_full_disk_is_not_taken_for_damage(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_store: Store) -> None:
        raise full_disk()

    monkeypatch.setattr(Store, "_check_format", fails)
    assert says(text := refusal(journal), "cannot be made", "full", "is there space")
    assert "replace this node" not in text


def test_a_disk_without_space_for_a_new_journal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise full_disk()

    monkeypatch.setattr(store, "_prepare", fails)
    assert says(refusal(tmp_path / "data"), "cannot be made", "full", "is there space")
