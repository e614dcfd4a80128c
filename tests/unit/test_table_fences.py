"""Fences: larger than those of everybody a holder comes after, whatever tickets say, and never going back."""

from __future__ import annotations

import pytest

from lockmanager.wire import Lost, Mode, Raised, Rejected
from lockmanager_node.books import IDLE_BEFORE_FORGOTTEN
from lockmanager_node.limits import LARGEST_FENCE
from tests.support.table_cases import EXCLUSIVE, KEY, SHARED, WALL, Desk, each_mode, only, token_of


def fence_after(desk: Desk, who: str, mode: Mode, ticket: int = 1) -> int:
    """Return the fence of a holder that comes and goes."""
    desk.acquire(who, mode=mode, ticket=ticket)
    fence = desk.fence(who)
    desk.release(who)
    return fence


@each_mode
def test_the_first_fence_is_the_ticket(mode: Mode) -> None:
    assert fence_after(Desk(), "ann", mode, ticket=WALL) == WALL


@each_mode
def test_a_larger_ticket_is_the_next_fence(mode: Mode) -> None:
    desk = Desk()
    fence_after(desk, "ann", mode, ticket=500)
    assert fence_after(desk, "bob", mode, ticket=900) == 900


@pytest.mark.parametrize(("first", "second"), [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)])
def test_a_holder_exceeds_the_one_before_it_however_small_its_ticket(first: Mode, second: Mode) -> None:
    desk = Desk()
    assert fence_after(desk, "ann", first, ticket=500) == 500
    assert fence_after(desk, "bob", second, ticket=1) == 501


def test_readers_need_not_exceed_each_other_but_the_writer_before_them() -> None:
    desk = Desk()
    fence_after(desk, "ann", EXCLUSIVE, ticket=100)
    assert fence_after(desk, "bob", SHARED, ticket=500) == 500
    assert fence_after(desk, "cid", SHARED, ticket=1) == 101


def test_a_writer_exceeds_every_reader_before_it() -> None:
    desk = Desk()
    for who, ticket in (("ann", 300), ("bob", 900), ("cid", 100)):
        fence_after(desk, who, SHARED, ticket)
    assert fence_after(desk, "dan", EXCLUSIVE, ticket=1) == 901


@each_mode
def test_a_raise_lifts_the_lease_and_is_answered_with_its_fence(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode, ticket=500)
    assert only(Raised, desk.raise_to("ann", 800)) == Raised(token_of("ann"), 800)
    assert desk.fence("ann") == 800


@each_mode
def test_a_raise_never_lowers_a_fence(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode, ticket=500)
    assert only(Raised, desk.raise_to("ann", 300)).fence == 500
    assert desk.fence("ann") == 500


@pytest.mark.parametrize(("first", "second"), [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)])
def test_the_next_holder_exceeds_a_raised_fence(first: Mode, second: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=first, ticket=500)
    desk.raise_to("ann", 800)
    desk.release("ann")
    assert fence_after(desk, "bob", second) == 801


def test_a_raised_reader_does_not_lift_the_readers_after_it() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED, ticket=500)
    desk.raise_to("ann", 800)
    desk.release("ann")
    assert fence_after(desk, "bob", SHARED, ticket=1) == 1


@each_mode
def test_a_raise_for_a_token_unknown_here_is_lost_and_changes_nothing(mode: Mode) -> None:
    desk = Desk()
    fence_after(desk, "ann", mode, ticket=500)
    assert only(Lost, desk.raise_to("ann", 800)) == Lost(token_of("ann"))
    assert fence_after(desk, "bob", EXCLUSIVE) == 501


@each_mode
def test_a_raise_for_a_waiter_is_not_answered_and_changes_nothing(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", ticket=500)
    desk.acquire("bob", mode=mode, ticket=501)
    assert desk.raise_to("bob", 800) == []
    desk.release("ann")
    assert desk.fence("bob") == 501


@pytest.mark.parametrize("fence", [0, -1, LARGEST_FENCE + 1])
def test_a_raise_to_no_possible_fence_is_rejected(fence: int) -> None:
    desk = Desk()
    desk.acquire("ann", ticket=500)
    assert only(Rejected, desk.raise_to("ann", fence)).code == "fence"
    assert desk.fence("ann") == 500


@each_mode
def test_the_table_knows_the_largest_ticket_or_fence_it_has_seen(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode, ticket=500)
    assert desk.table.largest_ticket == 500
    desk.acquire("bob", ticket=700)
    assert desk.table.largest_ticket == 700
    desk.raise_to("ann", 900)
    assert desk.table.largest_ticket == 900
    desk.acquire("cid", ticket=600)
    assert desk.table.largest_ticket == 900


def test_a_fence_above_all_tickets_counts_as_seen() -> None:
    desk = Desk()
    fence_after(desk, "ann", EXCLUSIVE, ticket=500)
    fence_after(desk, "bob", EXCLUSIVE, ticket=500)
    assert desk.table.largest_ticket == 501


def test_a_rejected_ticket_is_not_seen() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=500)
    desk.acquire("bob", ticket=2 * WALL)
    assert desk.table.largest_ticket == 500


@each_mode
def test_a_node_that_starts_with_a_floor_grants_above_it(mode: Mode) -> None:
    desk = Desk(fence_floor=1_000)
    assert desk.table.largest_ticket == 1_000
    assert fence_after(desk, "ann", mode) == 1_001


@each_mode
def test_forgetting_a_name_never_lets_a_fence_go_back(mode: Mode) -> None:
    desk = Desk()
    fence_after(desk, "ann", mode, ticket=500)
    desk.wait(IDLE_BEFORE_FORGOTTEN / 1e6)
    assert KEY not in desk.table.locks
    assert fence_after(desk, "bob", EXCLUSIVE) == 501


def test_forgetting_a_name_of_low_fences_does_not_lower_the_floor() -> None:
    desk = Desk()
    for name, ticket in (("low", 300), ("high", 900)):
        desk.acquire(name, name=name, ticket=ticket)
    for name in ("high", "low"):
        desk.release(name)
        desk.wait(60)
    assert desk.table.fence_floor == 900
