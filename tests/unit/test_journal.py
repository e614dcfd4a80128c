"""The journal's thread: what is written while one commit runs shares the next, and whoever waits is called in order."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from lockmanager_node.journal import DiskJournal, MemoryJournal
from lockmanager_node.records import Changes
from lockmanager_node.store import Batch, JournalRefused
from tests.support.journal_cases import EMPTY, FIRST_FENCE, OWNER, contents, ended, granted, grants, lease
from tests.support.journal_thread import Gate, Told, turns
from tests.support.waiting import until

# Group commit


async def test_what_is_written_while_one_commit_runs_shares_the_next(
    gate: Gate, journal: DiskJournal, told: Told
) -> None:
    journal.write(granted(1))
    await gate.arrival()
    for number in (2, 3, 4):
        journal.write(granted(number))
        journal.sync(told.as_(str(number)))
    gate.let()
    await gate.arrival()
    gate.let()
    await told.hears("2", "3", "4")
    assert gate.batches == [grants(1), grants(2, 3, 4)]
    assert (journal.statistics.commits, journal.statistics.rows) == (2, 4)


async def test_nobody_is_called_before_the_commit_of_what_they_wait_for(
    gate: Gate, journal: DiskJournal, told: Told
) -> None:
    journal.write(granted(1))
    journal.sync(told.as_("first"))
    await gate.arrival()
    journal.write(granted(2))
    journal.sync(told.as_("second"))
    await turns()
    assert told.order == []
    gate.let()
    await gate.arrival()
    await told.hears("first")
    await turns()
    assert told.order == ["first"]
    gate.let()
    await told.hears("first", "second")


async def test_whoever_asks_while_the_last_commit_runs_waits_for_it(
    gate: Gate, journal: DiskJournal, told: Told
) -> None:
    journal.write(granted(1))
    await gate.arrival()
    journal.sync(told.as_("first"))
    journal.sync(told.as_("second"))
    assert told.order == []
    gate.let()
    await told.hears("first", "second")


async def test_callbacks_come_in_the_order_in_which_they_asked(gate: Gate, journal: DiskJournal, told: Told) -> None:
    names = [f"{commit} {number}" for commit in range(5) for number in range(5)]
    for place, name in enumerate(names):
        journal.write(granted(place + 1))
        journal.sync(told.as_(name))
    gate.open()
    await told.hears(*names)
    assert len(gate.batches) == 2  # all but the first waited together


async def test_what_is_not_written_yet_needs_no_wait(journal: DiskJournal, told: Told) -> None:
    journal.sync(told.as_("at once"))
    assert told.order == ["at once"]
    journal.write(granted(1))
    journal.sync(told.as_("later"))
    assert told.order == ["at once"]
    await told.hears("at once", "later")
    journal.sync(told.as_("at once again"))
    assert told.order[2:] == ["at once again"]


async def test_a_callback_may_write_and_ask_again(journal: DiskJournal, told: Told, tmp_path: Path) -> None:
    def again() -> None:
        journal.write(granted(2))
        journal.sync(told.as_("again"))

    journal.write(granted(1))
    journal.sync(again)
    await told.hears("again")
    await journal.close()
    assert contents(tmp_path).numbers == [1, 2]


async def test_nothing_changed_is_not_written(gate: Gate, journal: DiskJournal, told: Told) -> None:
    journal.write(Changes([], 0))
    journal.sync(told.as_("at once"))
    assert (told.order, journal.busy, gate.batches) == (["at once"], False, [])


async def test_a_journal_is_busy_until_everything_is_durable(gate: Gate, journal: DiskJournal) -> None:
    assert not journal.busy
    journal.write(granted(1))
    await gate.arrival()
    journal.write(granted(2))
    gate.let()
    await gate.arrival()
    assert journal.busy
    gate.let()
    await until(lambda: not journal.busy, "an idle journal")


async def test_what_became_of_a_lease_between_two_commits_is_written_once(gate: Gate, journal: DiskJournal) -> None:
    journal.write(granted(1))
    await gate.arrival()
    for changes in (granted(2), ended(2), granted(3), ended(1), Changes([(3, lease(3, deadline=7))], 0)):
        journal.write(changes)
    gate.open()
    await until(lambda: len(gate.batches) == 2, "two commits")
    assert gate.batches[1] == Batch({1: None, 2: None, 3: lease(3, deadline=7)}, fence_floor=FIRST_FENCE + 3)


async def test_the_largest_fence_is_written_when_it_rises_and_only_then(
    gate: Gate, journal: DiskJournal, told: Told
) -> None:
    gate.open()
    for fence in (5, 5, 7, 6):
        journal.write(ended(fence, fence=fence))
        journal.sync(told.as_(str(fence)))
        await until(lambda: not journal.busy, "an idle journal")
    assert [batch.fence_floor for batch in gate.batches] == [5, 0, 7, 0]


async def test_the_fence_the_file_knows_is_not_written_again(tmp_path: Path, gate: Gate) -> None:
    gate.open()
    for _ in range(2):
        journal = DiskJournal(tmp_path, OWNER)
        journal.attach(asyncio.get_running_loop())
        journal.write(ended(1, fence=5))
        await journal.close()
    assert [batch.fence_floor for batch in gate.batches] == [5, 0]


async def test_notes_are_durable_when_sync_says_so(gate: Gate, journal: DiskJournal, told: Told) -> None:
    journal.note("boot", "one")
    await gate.arrival()
    journal.note("served", "no")
    journal.note("served", "yes")
    journal.sync(told.as_("noted"))
    gate.let()
    await gate.arrival()
    assert told.order == []
    gate.let()
    await told.hears("noted")
    assert [batch.notes for batch in gate.batches] == [{"boot": "one"}, {"served": "yes"}]


async def test_a_journal_in_memory_calls_at_once(told: Told) -> None:
    journal = MemoryJournal()
    journal.write(granted(1))
    journal.note("served", "yes")
    journal.sync(told.as_("at once"))
    assert (told.order, journal.busy) == (["at once"], False)


# What it knew


async def test_a_journal_says_what_it_knew(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, OWNER)
    journal.attach(asyncio.get_running_loop())
    journal.write(granted(1, 2))
    journal.note("served", "yes")
    await journal.close()
    again = DiskJournal(tmp_path, OWNER)
    kept = again.take_kept()
    assert (dict(kept.records), kept.fence_floor) == ({1: lease(1), 2: lease(2)}, FIRST_FENCE + 2)
    assert again.about == OWNER | {"served": "yes"}
    assert again.path == tmp_path / "journal.db"
    await again.close()


async def test_a_refused_journal_is_told_to_whoever_opens_it(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"")
    before = set(threading.enumerate())
    with pytest.raises(JournalRefused):
        DiskJournal(tmp_path, OWNER)
    assert set(threading.enumerate()) <= before


async def test_statistics_count_commits_and_rows(gate: Gate, journal: DiskJournal, told: Told) -> None:
    gate.open()
    journal.write(granted(1, 2, 3))
    journal.sync(told.as_("granted"))
    await told.hears("granted")
    journal.write(ended(1, 2))
    journal.note("served", "yes")
    await journal.close()
    assert (journal.statistics.commits, journal.statistics.rows) == (len(gate.batches), 5)


def test_a_journal_that_was_opened_and_not_used_is_empty(tmp_path: Path) -> None:
    asyncio.run(DiskJournal(tmp_path, OWNER).close())
    assert contents(tmp_path) == EMPTY
