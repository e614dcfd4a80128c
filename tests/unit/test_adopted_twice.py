"""Leases adopted again after an interrupted rejoin, and revoked while their owner stands in line."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lockmanager.wire import Lost, Mode, Revoked, token_digest
from lockmanager_node.journal import DiskJournal
from lockmanager_node.records import Adoption, RevokedRecord
from lockmanager_node.recovery import Past
from lockmanager_node.table import Table
from lockmanager_node.waking import take_up
from tests.support.table_cases import INCARNATION, KEY, NOW, TTL, WALL, Desk, acquire, only, token_of, told

ABOUT = {"node": "node1", "cluster": "c"}


def told_of(who: str, *, ttl: int = TTL) -> Adoption:
    return Adoption(token_digest(token_of(who)), KEY[1], who, WALL, Mode.EXCLUSIVE, WALL + 5, ttl, False)


async def test_a_node_that_died_between_what_it_adopted_and_its_mark_begins_anew(tmp_path: Path) -> None:
    """`Server._serve` writes the adopted leases in one transaction and `served` in the next; it dies in between."""
    journal = await asyncio.to_thread(DiskJournal, tmp_path, ABOUT)
    journal.attach(asyncio.get_running_loop())
    first = Table(INCARNATION, journaled=True)
    first.silent = True
    first.serve([told_of("ann", ttl=6 * TTL)], WALL, NOW)
    journal.write(first.take_changes())
    await journal.close()  # SIGKILL before the notes: all that was committed is there, and they are not
    journal = await asyncio.to_thread(DiskJournal, tmp_path, ABOUT)
    journal.attach(asyncio.get_running_loop())
    desk = Desk()
    desk.table = Table(INCARNATION + 1, journaled=True)
    has_past = take_up(journal, desk.table, Past(), desk.now, boot="this boot")
    await journal.close()
    assert not has_past
    desk.table.silent = True
    desk.wait(30)
    desk.table.serve([told_of("ann", ttl=6 * TTL)], WALL, desk.now)  # it asks again, and is told the same
    desk.wait(59.9)
    assert desk.holds("ann"), "it was adopted for its full ttl and ended before"
    desk.wait(0.1)
    assert not desk.holds("ann")


def test_a_lease_that_is_adopted_beside_its_own_record_ends_with_one_release() -> None:
    """The same start, when the first `serve` had granted one that waited: the record of its grant is restored."""
    desk = Desk()
    desk.acquire("ann", ttl=6 * TTL)  # stands for the restored record of a grant that was never told
    desk.table.silent = True
    desk.table.serve([told_of("ann", ttl=6 * TTL)], WALL, desk.now)
    desk.release("ann")
    assert desk.table.lease_count == 0


def test_a_token_revoked_by_force_is_not_granted_because_it_also_stands_in_line() -> None:
    desk = Desk()
    desk.table.silent = True
    desk.acquire("ann", ticket=WALL + 1)
    desk.table.serve([told_of("ann", ttl=2 * TTL), told_of("bob", ttl=2 * TTL)], 0, desk.now)
    assert desk.line() == ["ann"]  # bob's keeps her out
    _, outbox = desk.table.revoke(KEY, desk.now, force=True)
    assert [type(answer) for answer in told("ann", outbox)] == [Revoked]
    assert not desk.holds("ann")


def test_a_lease_beside_what_was_adopted_of_it_is_revoked_once_and_answered_so_until_both_are_over() -> None:
    desk = Desk()
    desk.acquire("ann", ttl=TTL)
    desk.table.silent = True
    desk.table.serve([told_of("ann", ttl=2 * TTL)], WALL, desk.now)
    count, _ = desk.table.revoke(KEY, desk.now, force=True)
    assert (count, desk.table.lease_count) == (2, 0)
    desk.wait(19.9)
    only(Revoked, desk.renew("ann"))
    desk.wait(0.1)
    only(Lost, desk.renew("ann"))


def test_a_token_that_is_revoked_as_two_records_leaves_one_in_the_journal() -> None:
    table = Table(INCARNATION, journaled=True)
    table.handle("session", acquire("ann", ticket=WALL, ttl=TTL), NOW, WALL)
    table.silent = True
    table.serve([told_of("ann", ttl=2 * TTL)], WALL, NOW)
    count, _ = table.revoke(KEY, NOW, force=True)
    assert count == 2
    kept = [record for _, record in table.take_changes().records if record is not None]
    assert kept == [RevokedRecord(token_digest(token_of("ann")), NOW + 2 * TTL, 2 * TTL)]
