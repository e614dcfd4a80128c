"""Expiry and forgetting: what the clock does by itself, through the same door as any request."""

from __future__ import annotations

from lockmanager.wire import Granted, Mode
from lockmanager_node.books import IDLE_BEFORE_FORGOTTEN
from tests.support.table_cases import KEY, SHARED, TTL, Desk, each_mode, granted_labels, only

MINUTE = IDLE_BEFORE_FORGOTTEN / 1e6


@each_mode
def test_a_lease_ends_at_its_deadline_and_not_before(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    assert desk.table.next_deadline() == desk.now + TTL
    desk.now += TTL - 1
    desk.wait(0)
    assert desk.holds("ann")
    desk.now += 1
    desk.wait(0)
    assert not desk.holds("ann")


@each_mode
def test_a_request_that_comes_before_the_timer_finds_due_leases_ended(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.now += TTL
    only(Granted, desk.acquire("bob"))


def test_nothing_is_due_in_an_empty_table() -> None:
    desk = Desk()
    assert (desk.table.next_deadline(), desk.wait(1_000)) == (None, [])


def test_readers_that_end_together_let_one_writer_in() -> None:
    desk = Desk()
    for who in ("ann", "bob", "cid"):
        desk.acquire(who, mode=SHARED)
    desk.acquire("dan")
    assert granted_labels(desk, desk.wait(10)) == ["dan"]


def test_a_writer_stays_out_while_one_reader_has_time_left() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=SHARED, ttl=2 * TTL)
    desk.acquire("dan")
    assert granted_labels(desk, desk.wait(10)) == []
    assert granted_labels(desk, desk.wait(10)) == ["dan"]


def test_a_long_sleep_serves_one_waiter_per_lease_not_the_whole_line() -> None:
    desk = Desk()
    for n in range(5):
        desk.acquire(f"p{n}")
    assert granted_labels(desk, desk.wait(1_000)) == ["p1"]


@each_mode
def test_a_name_idle_for_a_minute_is_forgotten(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.release("ann")
    desk.wait(MINUTE - 0.001)
    assert KEY in desk.table.locks
    desk.wait(0.001)
    assert desk.table.locks == {}
    assert desk.table.next_deadline() is None


def test_a_name_whose_lease_expired_is_forgotten_a_minute_later() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.wait(10)
    desk.wait(MINUTE - 0.001)
    assert KEY in desk.table.locks
    desk.wait(0.001)
    assert KEY not in desk.table.locks


def test_a_name_in_use_is_not_forgotten_though_it_was_idle_before() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.release("ann")
    desk.acquire("bob", ttl=100 * TTL)
    desk.wait(2 * MINUTE)
    assert desk.holds("bob")


def test_the_minute_starts_anew_with_every_use() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.release("ann")
    desk.wait(MINUTE / 2)
    desk.acquire("bob")
    desk.release("bob")
    desk.wait(MINUTE / 2)
    assert KEY in desk.table.locks
    desk.wait(MINUTE / 2)
    assert KEY not in desk.table.locks


def test_a_name_used_over_its_first_minute_is_forgotten_a_minute_after_the_last_use() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.release("ann")
    desk.acquire("bob", ttl=200 * TTL)
    desk.wait(2 * MINUTE)
    desk.release("bob")
    desk.wait(MINUTE)
    assert KEY not in desk.table.locks


def test_names_that_come_and_go_do_not_stay_in_memory() -> None:
    desk = Desk()
    for n in range(1_000):
        desk.acquire("ann", name=f"passing {n}")
        desk.release("ann")
        desk.wait(0.1)
    assert len(desk.table.locks) <= 601
    desk.wait(MINUTE)
    assert (desk.table.locks, desk.table.lease_count, desk.table.waiter_count) == ({}, 0, 0)
