"""How a journal ends: by a failure that nobody survives unheard, closed with all that was written, or abandoned."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

import pytest

from lockmanager_node import committing
from lockmanager_node import journal as journal_module
from lockmanager_node.journal import DiskJournal
from lockmanager_node.store import Batch, Store
from tests.support.journal_cases import EMPTY, OWNER, after, contents, ended, ends, granted, grants
from tests.support.journal_thread import DEADLINE, Gate, Told, turns
from tests.support.waiting import until

BROKEN = sqlite3.OperationalError("disk I/O error")
FAILURES = [BROKEN, OSError(28, "No space left on device"), MemoryError("out of memory"), ValueError("a bug")]


# Failure


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_after_a_failed_commit_nobody_who_waits_is_called_and_the_failure_is_told_once(
    gate: Gate, journal: DiskJournal, told: Told, tmp_path: Path, error: Exception
) -> None:
    failures: list[str] = []
    journal.on_failure = failures.append
    journal.write(granted(1))
    journal.sync(told.as_("the first"))
    await gate.arrival()
    gate.let()
    await told.hears("the first")
    journal.write(granted(2))
    journal.sync(told.as_("whose commit fails"))
    await gate.arrival()
    journal.write(granted(3))
    journal.sync(told.as_("who waits behind it"))
    gate.let(error)
    await until(lambda: bool(failures), "a failure")
    journal.write(granted(4))
    journal.sync(told.as_("who comes later"))
    journal.note("served", "yes")
    journal.sync(told.as_("who comes last"))
    await journal.close()
    await turns()
    assert told.order == ["the first"]
    assert failures == [f"the journal {tmp_path / 'journal.db'} cannot be written: {error}"]
    assert contents(tmp_path) == after([grants(1)])


async def test_a_failure_to_tidy_is_a_failure_like_any_other(
    journal: DiskJournal, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tidy(_store: Store, *, idle: bool) -> None:
        raise BROKEN

    monkeypatch.setattr(Store, "tidy", tidy)
    failures: list[str] = []
    journal.on_failure = failures.append
    journal.write(granted(1))
    journal.sync(told.as_("whose commit was good"))
    journal.write(granted(2))
    journal.sync(told.as_("who waits behind it"))
    await until(lambda: bool(failures), "a failure")
    await journal.close()
    await turns()
    assert told.order == ["whose commit was good"]
    assert failures == [f"the journal {tmp_path / 'journal.db'} cannot be written: {BROKEN}"]
    assert contents(tmp_path) == after([grants(1)])


async def test_a_failure_to_close_is_told(
    journal: DiskJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_store: Store) -> None:
        raise BROKEN

    monkeypatch.setattr(Store, "close", close)
    failures: list[str] = []
    journal.on_failure = failures.append
    journal.write(granted(1))
    await journal.close()
    assert failures == [f"the journal {tmp_path / 'journal.db'} cannot be written: {BROKEN}"]
    assert contents(tmp_path) == after([grants(1)])


async def test_a_commit_that_fails_while_the_journal_closes_does_not_hold_it_up(
    gate: Gate, journal: DiskJournal, told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "CLOSE_DEADLINE", DEADLINE)
    failures: list[str] = []
    journal.on_failure = failures.append
    journal.write(granted(1))
    journal.sync(told.as_("never"))
    await gate.arrival()
    closing = asyncio.create_task(journal.close())
    await turns()
    gate.let(BROKEN)
    async with asyncio.timeout(DEADLINE / 2):
        await closing
    assert (told.order, len(failures)) == ([], 1)
    assert "journal_slow" not in caplog.text


# The end


async def test_closing_writes_what_is_pending(gate: Gate, journal: DiskJournal, told: Told, tmp_path: Path) -> None:
    journal.write(granted(1))
    await gate.arrival()
    journal.write(granted(2))
    journal.write(ended(1))
    journal.note("served", "yes")
    journal.sync(told.as_("synced"))
    closing = asyncio.create_task(journal.close())
    await turns()
    gate.open()
    await closing
    assert told.order == ["synced"]
    assert contents(tmp_path) == after([grants(1), grants(2), ends(1), Batch(notes={"served": "yes"})])
    assert os.listdir(tmp_path) == ["journal.db"]


async def test_closing_writes_what_a_callback_adds(journal: DiskJournal, tmp_path: Path) -> None:
    journal.write(granted(1))
    journal.sync(lambda: journal.write(granted(2)))
    await journal.close()
    assert contents(tmp_path).numbers == [1, 2]


async def test_closing_twice_is_closing_once(journal: DiskJournal, tmp_path: Path) -> None:
    journal.write(granted(1))
    await journal.close()
    await journal.close()
    await journal.abandon()
    assert contents(tmp_path).numbers == [1]


async def test_a_commit_that_does_not_end_is_not_waited_for_for_ever(
    gate: Gate, journal: DiskJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "CLOSE_DEADLINE", 0.0)
    monkeypatch.setattr(committing, "_JOIN_DEADLINE", 0.0)
    journal.write(granted(1))
    await gate.arrival()
    with caplog.at_level(logging.WARNING):
        await journal.close()
    assert "journal_slow" in caplog.text
    gate.open()


async def test_abandoning_loses_only_what_was_not_handed_over(
    gate: Gate, journal: DiskJournal, told: Told, tmp_path: Path
) -> None:
    journal.write(granted(1))
    await gate.arrival()
    journal.write(granted(2))
    journal.sync(told.as_("never"))
    ending = asyncio.create_task(journal.abandon())
    await turns()
    gate.open()
    await ending
    await turns()
    assert told.order == []
    assert contents(tmp_path) == after([grants(1)])


async def test_abandoning_loses_nothing_that_was_told(journal: DiskJournal, told: Told, tmp_path: Path) -> None:
    journal.write(granted(1, 2))
    journal.write(ended(1))
    journal.sync(told.as_("told"))
    await told.hears("told")
    await journal.abandon()
    assert contents(tmp_path) == after([grants(1, 2), ends(1)])


def test_an_event_loop_that_was_closed_is_no_error(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, OWNER)
    failures: list[str] = []
    journal.on_failure = failures.append

    async def write_and_leave() -> None:
        journal.attach(asyncio.get_running_loop())
        journal.write(granted(1))

    asyncio.run(write_and_leave())
    asyncio.run(journal.abandon())
    assert failures == []
    assert contents(tmp_path) in (EMPTY, after([grants(1)]))


def test_a_commit_that_ends_after_its_event_loop_was_closed_is_no_error(gate: Gate, tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path, OWNER)

    async def write_and_leave() -> None:
        journal.attach(asyncio.get_running_loop())
        journal.write(granted(1))
        await gate.arrival()

    asyncio.run(write_and_leave())
    gate.open()
    asyncio.run(journal.abandon())
    assert contents(tmp_path) == after([grants(1)])
