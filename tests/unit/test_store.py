"""The journal's file: it is made whole, says the same when opened again, and stays small. Refusals are apart."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lockmanager_node import store
from lockmanager_node.records import AdoptedRecord, Changes, Kept, RevokedRecord
from lockmanager_node.store import FILE_NAME, Batch, Store
from tests.support.journal_cases import (
    EMPTY,
    FIRST_FENCE,
    OWNER,
    WAL,
    Contents,
    after,
    as_left,
    contents,
    ends,
    fail,
    grants,
    lease,
    opened,
    token_number,
)

GIVING = {
    "a grant": grants(1),
    "a note": Batch(notes={"served": "yes"}),
    "a fence": Batch(fence_floor=FIRST_FENCE),
    "a grant that ended in the same batch": Batch({1: None}, fence_floor=FIRST_FENCE + 1),
}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def synchronous(journal: Store) -> int:
    """Return how the last batch was written: 2 is synced before it returned, 1 is left to the system."""
    return int(journal._db.execute("PRAGMA synchronous").fetchone()[0])


# Made whole


def test_a_new_journal_and_its_directory_are_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with opened(directory) as journal:
        journal.commit(grants(1))
        assert [mode(directory), mode(directory / FILE_NAME), mode(directory / WAL)] == [0o700, 0o600, 0o600]


def test_a_new_journal_is_empty_and_says_whose_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        assert (journal.about, journal.take_kept(), journal.fence_floor) == (OWNER, Kept([], 0), 0)


def test_a_new_journal_gets_its_name_when_everything_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[tuple[bool, dict[str, str]]] = []
    original = Path.replace

    def replace(unfinished: Path, target: Path) -> Path:
        with closing(sqlite3.connect(unfinished)) as db:
            db.execute("SELECT number, body, checksum FROM record")
            before.append((target.exists(), dict(db.execute("SELECT key, value FROM about"))))
        return original(unfinished, target)

    monkeypatch.setattr(Path, "replace", replace)
    assert contents(tmp_path) == EMPTY
    assert before == [(False, OWNER)]


def test_a_half_made_journal_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "journal.new").write_bytes(b"half of it")
    (tmp_path / "journal.new-journal").write_bytes(b"and what was to be undone")
    assert contents(tmp_path) == EMPTY
    assert contents(tmp_path) == EMPTY
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_every_directory_that_was_made_is_as_durable_as_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    contents(tmp_path / "var" / "data")
    assert set(synced) == {tmp_path, tmp_path / "var", tmp_path / "var" / "data"}


def test_a_directory_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with opened(tmp_path):
        assert mode(tmp_path) == 0o750


# Opened again


def test_a_journal_says_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    batches = [
        grants(1, 2, 3),
        Batch({4: adopted(4), 5: RevokedRecord("another digest", 10**9, 10**7)}),
        Batch(notes={"served": "yes", "boot": "one"}),
        ends(2),
        Batch({1: lease(1, deadline=2 * 10**9)}, notes={"boot": "another"}),
    ]
    with opened(tmp_path) as journal:
        for batch in batches:
            journal.commit(batch)
    assert contents(tmp_path) == after(batches)


def adopted(number: int) -> AdoptedRecord:
    known = lease(number)
    return AdoptedRecord(
        digest="a digest",
        space=known.space,
        name=known.name,
        label=known.label,
        ticket=known.ticket,
        mode=known.mode,
        grant_id=known.grant_id,
        fence=known.fence,
        deadline=known.deadline,
        full_ttl=known.full_ttl,
        revoked=True,
    )


@pytest.mark.parametrize("name", ["\0", "a\nb", '"', "\\u0000", "'); DROP", "{}", "\U0001f512", "\u2028", "ü" * 127])
def test_whatever_a_lock_may_be_called_is_kept(tmp_path: Path, name: str) -> None:
    batch = Batch({1: lease(1, name=name)})
    with opened(tmp_path) as journal:
        journal.commit(batch)
    assert contents(tmp_path) == after([batch])


def test_the_largest_numbers_are_kept_exactly(tmp_path: Path) -> None:
    largest = 2**53 - 1
    batch = Batch({largest: lease(largest, deadline=2**62)}, fence_floor=largest)
    with opened(tmp_path) as journal:
        journal.commit(batch)
    assert contents(tmp_path) == after([batch])


def test_what_a_journal_knew_is_handed_out_once(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.take_kept()
        with pytest.raises(RuntimeError, match="taken before"):
            journal.take_kept()


def test_a_closed_journal_is_one_file_that_says_everything(tmp_path: Path) -> None:
    journal = Store(tmp_path, OWNER)
    journal.commit(grants(1, 2))
    journal.commit(ends(1))
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert contents(tmp_path) == after([grants(1, 2), ends(1)])


@pytest.mark.parametrize("committed", range(4))
def test_a_journal_nobody_closed_says_what_was_committed(tmp_path: Path, committed: int) -> None:
    batches = [grants(1, 2), ends(1), Batch(notes={"served": "yes"})][:committed]
    with opened(tmp_path / "data") as journal:
        for batch in batches:
            journal.commit(batch)
        left = as_left(tmp_path / "data", tmp_path / "left")
    assert contents(left) == after(batches)


# All or nothing


def test_a_batch_that_fails_halfway_leaves_nothing_behind(tmp_path: Path) -> None:
    batch = Batch({1: None, 2: lease(2)}, {"boot": "another"}, fence_floor=FIRST_FENCE + 2)
    failures = 0
    while True:
        directory = tmp_path / str(failures)
        with opened(directory) as journal:
            journal.commit(grants(1))
            faulty = fail(journal, at=failures + 1)
            try:
                journal.commit(batch)
            except sqlite3.OperationalError:
                failures += 1
            else:
                break
        assert contents(directory) == after([grants(1)]), failures
    assert failures == faulty.executed >= 5
    assert contents(directory) == after([grants(1), batch])


def test_a_batch_may_hold_more_than_one_statement_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = store._connect

    def connect(path: Path) -> sqlite3.Connection:
        db = original(path)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2_000_000)  # in place of the thousand millions that it is
        return db

    monkeypatch.setattr(store, "_connect", connect)
    batch = grants(*range(1, 20_001))
    with opened(tmp_path) as journal:
        journal.commit(batch)
    assert contents(tmp_path) == after([batch])


# Durable


@pytest.mark.parametrize("what", GIVING)
def test_a_batch_that_gives_anything_is_synced(tmp_path: Path, what: str) -> None:
    with opened(tmp_path) as journal:
        journal.commit(ends(7))
        journal.commit(GIVING[what])
        assert synchronous(journal) == 2


def test_a_batch_in_which_leases_only_end_is_not_synced(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.commit(grants(1))
        journal.commit(ends(1))
        assert synchronous(journal) == 1


def test_a_grant_that_ended_in_the_same_batch_leaves_its_fence(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.commit(Batch({1: None}, fence_floor=FIRST_FENCE + 1))
    assert contents(tmp_path) == Contents({}, FIRST_FENCE + 1, {})


# Small


def rows(directory: Path) -> int:
    with closing(sqlite3.connect(directory / FILE_NAME)) as db:
        return int(db.execute("SELECT count(*) FROM record").fetchone()[0])


def test_an_ended_lease_leaves_the_file(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.commit(grants(*range(1, 101)))
        journal.commit(ends(*range(1, 100)))
    assert rows(tmp_path) == 2  # the lease that stands, and the largest fence


def test_leases_that_come_and_go_do_not_let_the_file_grow(tmp_path: Path) -> None:
    sizes = []
    journal = Store(tmp_path, OWNER)
    for first in range(1, 40_001, 2_000):
        numbers = range(first, first + 2_000)
        journal.commit(grants(*numbers))
        journal.commit(ends(*numbers))
        journal.tidy(idle=True)
        sizes.append(size(tmp_path))
    journal.close()
    assert max(sizes[10:]) <= max(sizes[:10])
    assert (tmp_path / FILE_NAME).stat().st_size < 2 << 20


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_a_file_that_was_large_once_becomes_small_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_TIDY_AT", 0)
    monkeypatch.setattr(store, "_FREE_PAGES", 100)
    with opened(tmp_path) as journal:
        journal.commit(grants(*range(1, 10_001)))
        journal.tidy(idle=True)
        large = (tmp_path / FILE_NAME).stat().st_size
        journal.commit(ends(*range(1, 10_001)))
        for _ in range(large // 4096 // 100 + 1):
            journal.tidy(idle=True)
        assert (tmp_path / FILE_NAME).stat().st_size < 105 * 4096 < large


# Tidy


def bytes_of(directory: Path) -> bytes:
    return (directory / FILE_NAME).read_bytes()


def say_without_wal(directory: Path, into: Path) -> Contents:
    """Return what the database says for itself."""
    left = as_left(directory, into)
    (left / WAL).unlink()
    return contents(left)


def test_a_commit_never_moves_anything_into_the_database(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        before = bytes_of(tmp_path)
        for number in range(1, 3_000):
            journal.commit(ends(number))
        journal.commit(grants(*range(1, 5_000)))
        assert bytes_of(tmp_path) == before


@pytest.mark.parametrize(("idle", "due"), [(True, 10), (False, 30)])
def test_what_was_written_moves_into_the_database_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle: bool, due: int
) -> None:
    monkeypatch.setattr(store, "_TIDY_AT", 10)
    monkeypatch.setattr(store, "_TIDY_AT_LATEST", 30)
    directory = tmp_path / "data"
    with opened(directory) as journal:
        before, commits = bytes_of(directory), 0
        while bytes_of(directory) == before:
            commits += 1
            journal.commit(grants(commits))
            journal.tidy(idle=idle)
        assert commits == due / 2  # a commit of one lease counts for two pages
        assert say_without_wal(directory, tmp_path / "left").numbers == list(range(1, commits + 1))


def test_a_large_wal_is_tidied_at_once_and_cut_with_the_next_commit(tmp_path: Path) -> None:
    directory, long, many = tmp_path / "data", "x" * 1_000, 16_000
    with opened(directory) as journal:
        journal.commit(Batch({number: lease(number, name=long) for number in range(1, many + 1)}))
        assert (directory / WAL).stat().st_size > 16 << 20
        journal.tidy(idle=False)
        assert len(say_without_wal(directory, tmp_path / "left").numbers) == many
        journal.commit(ends(1))
        assert (directory / WAL).stat().st_size <= 8 << 20


def test_nothing_is_lost_when_the_wal_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_TIDY_AT", 6)
    directory = tmp_path / "data"
    batches = [grants(number) if number % 3 else ends(number - 1) for number in range(1, 40)]
    with opened(directory) as journal:
        for count, batch in enumerate(batches, 1):
            journal.commit(batch)
            journal.tidy(idle=True)
            assert contents(as_left(directory, tmp_path / str(count))) == after(batches[:count])


# Secrets


def test_no_representation_of_what_is_written_shows_a_token(tmp_path: Path) -> None:
    batch = grants(1)
    with opened(tmp_path) as journal:
        journal.commit(batch)
    with opened(tmp_path) as journal:
        shown: list[Any] = [batch, batch.records, Changes([(1, lease(1))], 1), Kept([(1, lease(1))], 1), lease(1)]
        shown += [journal, journal.take_kept(), vars(journal)]
        assert not [one for one in shown if token_number(1) in repr(one)]
