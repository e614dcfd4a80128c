"""Sessions that end: their waiters leave every line at once, their leases stay until their deadlines."""

from __future__ import annotations

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Granted, Inquire, Mode
from tests.support.table_cases import EXCLUSIVE, KEY, SHARED, TTL, WALL, Desk, each_mode, of_kind, session_of, token_of

BOB = session_of("bob")


@each_mode
def test_the_waiters_of_an_ended_session_leave_every_line(mode: Mode) -> None:
    desk = Desk()
    for n in range(5):
        desk.acquire(f"holder{n}", name=f"lock {n}")
        desk.acquire(f"waiter{n}", name=f"lock {n}", mode=mode, owner=BOB)
    assert desk.table.end_session(BOB, desk.now) == []
    assert desk.table.waiter_count == 0
    assert desk.table.shortest_waiting_ttl(BOB) is None


@each_mode
def test_the_leases_of_an_ended_session_stay_until_their_deadlines(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("bob", mode=mode)
    assert desk.table.end_session(BOB, desk.now) == []
    desk.wait(9.9)
    assert desk.holds("bob")
    desk.wait(0.1)
    assert not desk.holds("bob")


def test_the_waiters_of_others_stay() -> None:
    desk = Desk()
    for who in ("ann", "bob", "cid"):
        desk.acquire(who)
    desk.table.end_session(BOB, desk.now)
    assert desk.line() == ["cid"]


def test_ending_an_unknown_session_changes_nothing() -> None:
    desk = Desk()
    assert desk.table.end_session("stranger", desk.now) == []


def test_those_behind_an_ended_session_are_granted_in_the_same_step() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=EXCLUSIVE)
    desk.acquire("cid", mode=SHARED)
    assert [answer.token for answer in of_kind(Granted, desk.table.end_session(BOB, desk.now))] == [token_of("cid")]


def test_an_ended_session_is_not_granted_by_its_own_leaving() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=EXCLUSIVE, owner=BOB)
    desk.acquire("reader", mode=SHARED, owner=BOB)
    assert desk.table.end_session(BOB, desk.now) == []
    assert not desk.holds("reader")
    assert desk.line() == []


def test_an_ended_session_is_not_granted_what_was_due_at_that_very_instant() -> None:
    desk = Desk()
    for who in ("ann", "bob", "cid"):
        desk.acquire(who)
    desk.now += TTL
    assert [answer.token for answer in of_kind(Granted, desk.table.end_session(BOB, desk.now))] == [token_of("cid")]


def test_the_last_waiter_to_leave_a_lock_that_is_due_leaves_it_idle() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob")
    desk.now += TTL
    desk.table.end_session(BOB, desk.now)
    desk.wait(60)
    assert desk.table.locks == {}


def test_the_head_behind_an_ended_session_inquires() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9)
    desk.acquire("bob", ticket=WALL + 5)
    desk.acquire("cid", ticket=WALL + 6)
    assert len(of_kind(Inquire, desk.table.end_session(BOB, desk.now))) == 1


@each_mode
def test_waiters_that_moved_to_another_session_stay_when_the_old_one_ends(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode)
    desk.acquire("bob", mode=mode, owner="new session")
    desk.table.end_session(BOB, desk.now)
    assert desk.line() == ["bob"]
    desk.table.end_session("new session", desk.now)
    assert desk.line() == []


def test_a_lease_that_moved_and_was_given_back_waits_for_its_new_session() -> None:
    desk = Desk()
    desk.acquire("bob", ticket=WALL + 9)
    desk.acquire("bob", owner="new session")
    desk.acquire("ann", ticket=WALL)
    desk.give_back("bob", owner="new session")
    desk.table.end_session(BOB, desk.now)
    assert desk.line() == ["bob"]


def test_the_shortest_ttl_a_session_waits_for_is_known() -> None:
    desk = Desk()
    for n, ttl in enumerate((30, 5, 20)):
        desk.acquire(f"holder{n}", name=f"lock {n}")
        desk.acquire(f"waiter{n}", name=f"lock {n}", ttl=ttl * MICROSECONDS, owner=BOB)
    assert desk.table.shortest_waiting_ttl(BOB) == 5 * MICROSECONDS
    desk.release("waiter1", owner=BOB)
    assert desk.table.shortest_waiting_ttl(BOB) == 20 * MICROSECONDS


@each_mode
def test_the_lock_a_token_holds_or_waits_for_is_known(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode)
    assert [desk.table.key_of(token_of(who)) for who in ("ann", "bob", "stranger")] == [KEY, KEY, None]


def test_a_session_that_only_holds_waits_for_nothing() -> None:
    desk = Desk()
    desk.acquire("bob")
    assert desk.table.shortest_waiting_ttl(BOB) is None
