"""What the journal remembers of the node itself, a commit that hangs, and a node that died before it came to serve."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lockmanager.wire import Mode
from lockmanager_node import journal as journal_room
from lockmanager_node.journal import DiskJournal
from lockmanager_node.records import Adoption, Changes
from lockmanager_node.recovery import Past
from lockmanager_node.table import Table
from lockmanager_node.waking import SERVED_KEY, take_up
from tests.support.journal_cases import OWNER, granted
from tests.support.journal_thread import Gate, Told
from tests.support.table_cases import INCARNATION, KEY, NOW, TTL, WALL
from tests.support.waiting import until


async def test_marks_are_in_one_commit_with_what_is_written_next(gate: Gate, journal: DiskJournal) -> None:
    """A node whose adopted leases were written without its mark, or the other way round, would be lied to later."""
    journal.note(SERVED_KEY, "yes")
    journal.write(granted(1))
    await gate.arrival()
    assert [(list(batch.records), batch.notes) for batch in gate.batches] == [([1], {SERVED_KEY: "yes"})]
    gate.let()


async def test_marks_alone_are_committed_too(gate: Gate, journal: DiskJournal) -> None:
    journal.note(SERVED_KEY, "yes")
    await gate.arrival()
    assert [batch.notes for batch in gate.batches] == [{SERVED_KEY: "yes"}]
    gate.let()


async def test_a_commit_that_hangs_is_a_failure(
    gate: Gate, journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_room, "COMMIT_DEADLINE", 0)
    reasons: list[str] = []
    told = Told()
    journal.on_failure = reasons.append
    journal.write(granted(1))
    journal.sync(told.as_("first"))
    await until(lambda: bool(reasons), "a failure")
    assert "hangs" in reasons[0]
    gate.let()
    assert told.order == []


async def test_a_commit_in_time_is_none(gate: Gate, journal: DiskJournal) -> None:
    told, reasons = Told(), list[str]()
    journal.on_failure = reasons.append
    journal.write(granted(1))
    journal.sync(told.as_("first"))
    await gate.arrival()
    watch = journal._watch
    assert watch is not None
    gate.let()
    await told.hears("first")
    assert watch.cancelled()
    assert reasons == []


def told_of(who: str) -> Adoption:
    return Adoption(f"digest of {who}", KEY[1], who, WALL, Mode.SHARED, WALL + 5, TTL, False)


async def test_a_node_that_never_came_to_serve_takes_over_nothing_and_clears_its_journal(tmp_path: Path) -> None:
    first = Table(INCARNATION, journaled=True)
    first.serve([told_of("ann"), told_of("bob")], WALL, NOW)
    await _commit(tmp_path, first.take_changes())
    journal = DiskJournal(tmp_path, OWNER)
    table = Table(INCARNATION + 1, journaled=True)
    assert not take_up(journal, table, Past(), NOW, boot="this boot")
    assert (table.lease_count, table.largest_fence) == (0, WALL + 5)
    table.serve([told_of("cid")], WALL, NOW)
    await journal.abandon()
    await _commit(tmp_path, table.take_changes())
    journal = DiskJournal(tmp_path, OWNER)
    assert [record.label for _, record in journal.take_kept().records] == ["cid"]  # type: ignore[union-attr]
    await journal.abandon()


async def _commit(directory: Path, changes: Changes) -> None:
    journal = DiskJournal(directory, OWNER)
    journal.attach(asyncio.get_running_loop())
    journal.write(changes)
    await journal.close()
