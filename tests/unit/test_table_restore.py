"""What a table writes for the journal, and what it is again when that is read."""

from __future__ import annotations

import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Granted, Mode, Renewed, Revoked, Yield, token_digest
from lockmanager_node.records import AdoptedRecord, Adoption, Changes, Kept, LeaseRecord, Record, RevokedRecord
from lockmanager_node.table import Table
from tests.support.table_cases import EXCLUSIVE, INCARNATION, KEY, NOW, TTL, WALL, Desk, only, token_of

LATER = NOW + 3 * MICROSECONDS


def rich_fields(record: object) -> list[object]:
    """Return what a pretty printer would show of a record."""
    return list(record.__rich_repr__())  # type: ignore[attr-defined]  # every struct has it


class Diary:
    """A desk whose table is journaled, and the journal it would have."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.table = Table(INCARNATION, journaled=True)
        self.records: dict[int, Record] = {}
        self.fence_floor = 0

    def write(self) -> Changes:
        """Take down what changed, as a commit does."""
        changes = self.desk.table.take_changes()
        for number, record in changes.records:
            if record is None:
                self.records.pop(number, None)
            else:
                self.records[number] = record
        self.fence_floor = changes.fence_floor
        return changes

    def read(self, *, now: int = LATER, same_boot: bool = True) -> Desk:
        """Return the next life of the node, begun at `now`."""
        self.write()
        kept = Kept(list(self.records.items()), self.fence_floor)
        desk = Desk()
        desk.now = now
        desk.table = Table(INCARNATION + 1, journaled=True)
        desk.table.restore(kept, now, same_boot=same_boot)
        return desk


@pytest.fixture
def diary() -> Diary:
    return Diary()


def test_nothing_is_noted_without_a_journal() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.release("ann")
    assert not desk.table.changed


def test_a_lease_is_written_as_it_stands_and_once(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL, label="on host 1")
    diary.desk.raise_to("ann", WALL + 5)
    diary.desk.renew("ann", 3 * TTL)
    assert diary.write() == Changes(
        [
            (
                1,
                LeaseRecord(
                    token=token_of("ann"),
                    space=KEY[0],
                    name=KEY[1],
                    label="on host 1",
                    ticket=WALL,
                    ttl=TTL,
                    mode=EXCLUSIVE,
                    grant_id=(INCARNATION, 1),
                    fence=WALL + 5,
                    deadline=NOW + 3 * TTL,
                    full_ttl=3 * TTL,
                    revoked=False,
                ),
            )
        ],
        WALL + 5,
    )
    assert not diary.desk.table.changed


def test_a_lease_that_came_and_went_between_two_commits_leaves_its_fence(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL)
    diary.desk.release("ann")
    assert diary.write() == Changes([(1, None)], WALL)


@pytest.mark.parametrize("end", ["release", "expiry", "yield"])
def test_the_end_of_a_lease_is_written_and_whoever_follows_with_it(diary: Diary, end: str) -> None:
    diary.desk.acquire("ann", ticket=WALL + 2)
    diary.desk.acquire("bob", ticket=WALL + 1)
    diary.write()
    if end == "release":
        diary.desk.release("ann")
    elif end == "yield":
        diary.desk.give_back("ann")
    else:
        diary.desk.wait(TTL / MICROSECONDS)
    (ended, gone), (number, record) = diary.write().records
    assert (ended, gone, number) == (1, None, 2)
    assert isinstance(record, LeaseRecord)
    assert record.token == token_of("bob")


def test_places_in_line_are_not_written(diary: Diary) -> None:
    diary.desk.acquire("ann")
    diary.write()
    diary.desk.acquire("bob")
    assert not diary.desk.table.changed


def test_a_floor_that_rose_by_itself_is_written(diary: Diary) -> None:
    diary.desk.table.serve([], WALL, NOW)
    assert diary.desk.table.changed
    assert diary.write() == Changes([], WALL)
    assert not diary.desk.table.changed


def test_a_restored_lease_is_what_it_was(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL, mode=Mode.SHARED, ttl=4 * TTL)
    before = diary.desk.lease("ann")
    desk = diary.read()
    after = desk.lease("ann")
    assert (after.grant_id, after.fence, after.deadline) == (before.grant_id, before.fence, before.deadline)
    assert (after.waiter.place, after.waiter.mode, after.waiter.ttl) == (before.waiter.place, Mode.SHARED, 4 * TTL)
    assert only(Granted, desk.acquire("ann", ticket=WALL, mode=Mode.SHARED)).resent
    assert not desk.table.changed


def test_its_holder_renews_gives_back_and_is_told_as_before(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL + 5)
    desk = diary.read()
    only(Renewed, desk.renew("ann", 2 * TTL))
    desk.acquire("bob", ticket=WALL)
    outbox = desk.ask("ann", Yield(token_of("ann"), (INCARNATION, 1)))
    assert [answer.token for _, answer in outbox if isinstance(answer, Granted)] == [token_of("bob")]
    assert desk.line() == ["ann"]


def test_on_the_same_boot_deadlines_are_exact(diary: Diary) -> None:
    diary.desk.acquire("ann")
    desk = diary.read(now=NOW + TTL - 1)
    assert desk.table.expire(NOW + TTL - 1) == []
    assert desk.holds("ann")
    desk.table.expire(NOW + TTL)
    assert not desk.holds("ann")


def test_one_that_ended_while_the_node_was_down_is_granted_to_nobody_and_forgotten(diary: Diary) -> None:
    diary.desk.acquire("ann")
    desk = diary.read(now=NOW + TTL)
    only(Granted, desk.acquire("bob", wait=False))


def test_after_another_boot_every_lease_gets_its_longest_ttl_again(diary: Diary) -> None:
    diary.desk.acquire("ann")
    diary.desk.renew("ann", 6 * TTL)
    diary.desk.renew("ann", TTL)
    desk = diary.read(now=7, same_boot=False)
    assert desk.lease("ann").deadline == 7 + 6 * TTL
    assert [number for number, _ in desk.table.take_changes().records] == [1]


def test_marks_of_a_restored_lock_are_at_least_what_they_were(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL)
    diary.desk.raise_to("ann", WALL + 70)
    diary.desk.release("ann")
    desk = diary.read()
    assert only(Granted, desk.acquire("bob", ticket=1)).fence == WALL + 71
    assert desk.table.largest_ticket == WALL + 71


def test_grants_of_the_next_life_have_numbers_of_their_own(diary: Diary) -> None:
    for number in range(3):
        diary.desk.acquire(f"a{number}", name=f"lock {number}")
    diary.desk.release("a2")
    desk = diary.read()
    assert only(Granted, desk.acquire("bob", name="one more")).grant_id == (INCARNATION + 1, 3)


def test_a_revoked_lease_stays_revoked(diary: Diary) -> None:
    diary.desk.acquire("ann")
    diary.write()
    diary.desk.table.revoke(KEY, NOW, force=False)
    desk = diary.read()
    only(Revoked, desk.renew("ann"))


def test_a_token_revoked_by_force_stays_so_until_its_ttl_has_passed(diary: Diary) -> None:
    diary.desk.acquire("ann", ticket=WALL)
    diary.desk.table.revoke(KEY, NOW, force=True)
    assert [type(record) for _, record in diary.write().records] == [RevokedRecord]
    desk = diary.read()
    only(Revoked, desk.acquire("ann"))
    desk.now = NOW + TTL
    assert only(Granted, desk.acquire("ann")).fence > WALL + 1
    assert diary.read(now=NOW + TTL).table.expire(NOW + TTL) == []


def test_a_token_revoked_by_force_is_forgotten_in_the_journal_too(diary: Diary) -> None:
    diary.desk.acquire("ann")
    diary.desk.table.revoke(KEY, NOW, force=True)
    diary.write()
    diary.desk.wait(TTL / MICROSECONDS)
    assert diary.write().records == [(1, None)]


def test_after_another_boot_a_revoked_token_is_remembered_for_its_full_ttl_again(diary: Diary) -> None:
    diary.desk.acquire("ann")
    diary.desk.table.revoke(KEY, NOW, force=True)
    desk = diary.read(now=7, same_boot=False)
    assert [number for number, _ in desk.table.take_changes().records] == [1]
    desk.now = 6 + TTL
    only(Revoked, desk.acquire("ann"))


def test_an_adopted_lease_is_kept_and_told_of_alike(diary: Diary) -> None:
    told = Adoption("digest of ann", KEY[1], "ann", WALL, EXCLUSIVE, WALL + 3, 6 * TTL, False)
    diary.desk.table.serve([told], WALL, NOW)
    assert [type(record) for _, record in diary.write().records] == [AdoptedRecord]
    desk = diary.read()
    (lease,) = desk.table.leases_after(0)
    assert (lease.digest, lease.fence, lease.deadline, lease.full_ttl) == (
        "digest of ann",
        WALL + 3,
        NOW + 6 * TTL,
        6 * TTL,
    )


def test_an_adopted_lease_that_was_revoked_stays_so(diary: Diary) -> None:
    told = Adoption(token_digest(token_of("ann")), KEY[1], "ann", WALL, EXCLUSIVE, WALL, TTL, True)
    diary.desk.table.serve([told], WALL, NOW)
    only(Revoked, diary.read().renew("ann"))


def test_no_record_shows_a_token(diary: Diary) -> None:
    diary.desk.acquire("ann")
    changes = diary.write()
    assert token_of("ann") not in repr(changes)
    assert all(rich_fields(record) == [] for _, record in changes.records)
    assert "..." in repr(changes)
