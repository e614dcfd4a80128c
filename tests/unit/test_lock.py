"""One lock: who is compatible with whom, which fence comes next, and whom to inquire."""

from __future__ import annotations

import pytest

from lockmanager.wire import Mode, Token, token_hash
from lockmanager_node.line import Waiter
from lockmanager_node.lock import Lease, Lock
from tests.support.table_cases import EXCLUSIVE, KEY, SHARED, TTL, each_mode, token_of


def waiter(who: str, ticket: int = 1, mode: Mode = EXCLUSIVE) -> Waiter:
    return Waiter(token_of(who), KEY, "session", who, ticket, TTL, mode)


def held(*holders: Waiter, floor: int = 0) -> Lock:
    lock = Lock(KEY, floor)
    for n, holder in enumerate(holders):
        lock.stand(Lease(holder, 1, n, holder.ticket, TTL))
    return lock


@each_mode
def test_a_free_lock_admits_its_head(mode: Mode) -> None:
    lock, head = held(), waiter("ann", mode=mode)
    lock.line.add(head)
    assert lock.next_to_grant() is head


def test_nobody_is_granted_from_an_empty_line() -> None:
    assert held().next_to_grant() is None


@pytest.mark.parametrize(
    ("holder", "head", "admitted"),
    [(EXCLUSIVE, EXCLUSIVE, False), (EXCLUSIVE, SHARED, False), (SHARED, EXCLUSIVE, False), (SHARED, SHARED, True)],
)
def test_only_shared_stands_beside_shared(holder: Mode, head: Mode, admitted: bool) -> None:
    lock = held(waiter("ann", mode=holder))
    lock.line.add(waiter("bob", 2, head))
    assert (lock.next_to_grant() is not None) is admitted


def test_a_lock_is_idle_only_without_leases_and_without_waiters() -> None:
    queued = held()
    queued.line.add(waiter("ann"))
    assert (held().idle, held(waiter("ann")).idle, queued.idle) == (True, False, False)


@pytest.mark.parametrize(
    ("mode", "ticket", "fence"),
    [(EXCLUSIVE, 50, 101), (EXCLUSIVE, 101, 101), (EXCLUSIVE, 500, 500), (SHARED, 50, 81), (SHARED, 90, 90)],
)
def test_a_fence_is_the_ticket_unless_somebody_to_come_after_had_as_much(mode: Mode, ticket: int, fence: int) -> None:
    lock = held()
    lock.last_exclusive_fence, lock.last_fence = 80, 100
    assert lock.fence_for(waiter("ann", ticket, mode)) == fence


@pytest.mark.parametrize(("mode", "marks"), [(EXCLUSIVE, (120, 120)), (SHARED, (80, 120))])
def test_an_exclusive_fence_lifts_both_marks_and_a_shared_one_the_second(mode: Mode, marks: tuple[int, int]) -> None:
    lock = held(floor=80)
    lock.note_fence(mode, 120)
    assert (lock.last_exclusive_fence, lock.last_fence) == marks


@each_mode
def test_a_smaller_fence_never_lowers_a_mark(mode: Mode) -> None:
    lock = held(floor=80)
    lock.note_fence(mode, 30)
    assert (lock.last_exclusive_fence, lock.last_fence) == (80, 80)


def test_a_new_lock_starts_both_marks_at_the_floor() -> None:
    assert held(floor=80).fence_for(waiter("ann", 1, SHARED)) == held(floor=80).fence_for(waiter("ann")) == 81


def test_passing_all_fences_lifts_both_marks_above_every_fence_given() -> None:
    lock = held()
    lock.last_exclusive_fence, lock.last_fence = 80, 100
    lock.pass_all_fences()
    assert lock.last_exclusive_fence == lock.last_fence == 101


def test_holders_are_shown_by_label_mode_and_hash_never_by_token() -> None:
    (holder,) = held(waiter("ann", mode=SHARED)).holders()
    assert (holder.label, holder.mode, holder.token_hash) == ("ann", SHARED, token_hash(token_of("ann")))
    assert token_of("ann") not in repr(holder)


def inquired(lock: Lock) -> list[str]:
    return [lease.waiter.label for lease in lock.inquiries()]


def test_a_head_that_came_before_the_holder_inquires_once() -> None:
    lock = held(waiter("ann", 5))
    lock.line.add(waiter("bob", 2))
    assert inquired(lock) == ["ann"]
    assert inquired(lock) == []


def test_a_head_that_came_after_the_holder_does_not_inquire() -> None:
    lock = held(waiter("ann", 5))
    lock.line.add(waiter("bob", 9))
    assert inquired(lock) == []


def test_equal_tickets_inquire_by_token() -> None:
    earlier, later = held(waiter("mia", 5)), held(waiter("mia", 5))
    earlier.line.add(waiter("ann", 5))
    later.line.add(waiter("zoe", 5))
    assert (inquired(earlier), inquired(later)) == (["mia"], [])


def test_an_exclusive_head_inquires_only_those_readers_who_came_after_it() -> None:
    lock = held(waiter("ann", 1, SHARED), waiter("bob", 5, SHARED), waiter("cid", 6, SHARED))
    lock.line.add(waiter("zoe", 3))
    assert inquired(lock) == ["bob", "cid"]


def test_shared_never_inquires_shared() -> None:
    lock = held(waiter("ann", 5, SHARED))
    lock.line.add(waiter("bob", 2, SHARED))
    assert inquired(lock) == []


def test_a_new_head_inquires_for_itself_and_an_old_one_that_returns_does_not_again() -> None:
    lock = held(waiter("ann", 9))
    bob, cid = waiter("bob", 5), waiter("cid", 3)
    lock.line.add(bob)
    assert inquired(lock) == ["ann"]
    lock.line.add(cid)
    assert inquired(lock) == ["ann"]
    lock.line.remove(cid)
    assert inquired(lock) == []


def test_only_the_head_inquires() -> None:
    lock = held(waiter("ann", 5, SHARED), waiter("bob", 9, SHARED))
    lock.line.add(waiter("cid", 6))
    lock.line.add(waiter("dan", 7))
    assert inquired(lock) == ["bob"]
    assert inquired(lock) == []


def test_a_holder_that_acquired_again_is_inquired_again() -> None:
    lock = held(waiter("ann", 5))
    lock.line.add(waiter("bob", 2))
    lock.inquiries()
    assert lock.inquires_again(lock.leases[token_of("ann")])
    assert inquired(lock) == []


def test_a_holder_that_acquired_again_is_left_alone_when_nobody_earlier_waits() -> None:
    lock = held(waiter("ann", 5))
    lease = lock.leases[token_of("ann")]
    assert not lock.inquires_again(lease)
    lock.line.add(waiter("bob", 9))
    assert not lock.inquires_again(lease)


def test_a_lease_does_not_show_its_token() -> None:
    holder = Waiter(Token("S" * 32), KEY, "hidden-session", "ann", 1, TTL, EXCLUSIVE)
    lease = Lease(holder, 1, 1, 1, TTL, inquired_for={Token("T" * 32)})
    for shown in (repr(lease), str(lease.__rich_repr__()), str(holder.__rich_repr__())):
        assert "'ann'" in shown
        assert not any(secret in shown for secret in ("SSSS", "TTTT", "hidden-session"))


def test_leases_that_stand_together_leave_in_any_order_and_the_others_stay() -> None:
    names = ["ann", "bob", "cid", "dan"]
    lock = held(*(waiter(who, mode=SHARED) for who in names))
    for gone in ("cid", "ann", "dan", "bob"):
        lock.drop(lock.leases[token_of(gone)])
        names.remove(gone)
        assert [lease.waiter.label for lease in lock.leases.values()] == names
        assert lock.idle is (not names)


@pytest.mark.parametrize("others", [(), ("bob",)])
def test_a_lease_that_does_not_stand_here_cannot_be_dropped(others: tuple[str, ...]) -> None:
    lock = held(*(waiter(who) for who in others))
    with pytest.raises((ValueError, KeyError)):
        lock.drop(Lease(waiter("ann"), 1, 9, 1, TTL))
    assert len(lock.leases) == len(others)
