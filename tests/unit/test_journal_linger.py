"""The end of a lease, for which nobody waits, shares the next commit that somebody wants; it is not put off long."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager_node import journal as journal_module
from lockmanager_node.journal import DiskJournal
from lockmanager_node.records import Changes
from lockmanager_node.store import Batch
from tests.support.journal_cases import FIRST_FENCE, ended, granted, grants, lease
from tests.support.journal_thread import Gate, Told, turns
from tests.support.waiting import until

FOR_EVER = 3_600.0


@pytest.fixture
def long_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ends wait for as long as nobody wants a commit."""
    monkeypatch.setattr(journal_module, "LINGER", FOR_EVER)


@pytest.fixture
async def idle(gate: Gate, journal: DiskJournal) -> DiskJournal:
    """Give a journal in which lease 1 stands, and that has nothing to write."""
    gate.open()
    journal.write(granted(1))
    await until(lambda: not journal.busy, "an idle journal")
    return journal


@pytest.mark.usefixtures("long_linger")
async def test_the_end_of_a_lease_shares_the_commit_of_the_next_grant(gate: Gate, idle: DiskJournal) -> None:
    idle.write(ended(1))
    await turns()
    assert gate.batches == [grants(1)]
    idle.write(granted(2))
    await until(lambda: not idle.busy, "an idle journal")
    assert gate.batches[1:] == [Batch({1: None, 2: lease(2)}, fence_floor=FIRST_FENCE + 2)]


@pytest.mark.usefixtures("long_linger")
async def test_the_end_of_a_lease_shares_the_commit_of_a_renewal(gate: Gate, idle: DiskJournal) -> None:
    idle.write(granted(2))
    await until(lambda: not idle.busy, "an idle journal")
    idle.write(ended(1))
    idle.write(Changes([(2, lease(2, deadline=7))], 0))
    await until(lambda: not idle.busy, "an idle journal")
    assert gate.batches[2:] == [Batch({1: None, 2: lease(2, deadline=7)})]


@pytest.mark.usefixtures("long_linger")
async def test_whoever_waits_for_the_end_of_a_lease_has_it_written_at_once(
    gate: Gate, idle: DiskJournal, told: Told
) -> None:
    idle.write(ended(1))
    assert idle.busy
    idle.sync(told.as_("durable"))
    await told.hears("durable")
    assert gate.batches[1:] == [Batch({1: None})]


@pytest.mark.usefixtures("long_linger")
async def test_what_ended_while_a_commit_ran_does_not_want_another_one(gate: Gate, journal: DiskJournal) -> None:
    journal.write(granted(1))
    await gate.arrival()
    journal.write(ended(1))
    gate.open()
    await until(lambda: journal.statistics.commits == 1, "the commit")
    await turns()
    assert gate.batches == [grants(1)]
    assert journal.busy


async def test_the_end_of_a_lease_is_written_by_itself_soon(gate: Gate, idle: DiskJournal) -> None:
    idle.write(ended(1))
    await until(lambda: not idle.busy, "an idle journal")
    assert gate.batches[1:] == [Batch({1: None})]


@pytest.mark.usefixtures("long_linger")
async def test_the_end_of_a_lease_is_written_before_the_journal_closes(gate: Gate, idle: DiskJournal) -> None:
    idle.write(ended(1))
    async with asyncio.timeout(10):
        await idle.close()
    assert gate.batches[1:] == [Batch({1: None})]
