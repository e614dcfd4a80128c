"""Inquire and yield: an earlier waiter asks the holder back, and a grant that is given back stands in line again."""

from __future__ import annotations

from typing import Any

import pytest

from lockmanager.durations import microseconds
from lockmanager.wire import Granted, Inquire, Lost, Mode, Queued, Space
from lockmanager_node.table import Outbox
from tests.support.table_cases import (
    EXCLUSIVE,
    INCARNATION,
    SHARED,
    TTL,
    WALL,
    Desk,
    each_mode,
    of_kind,
    only,
    token_of,
    told,
)

INCOMPATIBLE = pytest.mark.parametrize(
    ("holder", "head"), [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)]
)


def overtaken(holder: Mode = EXCLUSIVE, head: Mode = EXCLUSIVE, **more: Any) -> Desk:
    """Return a desk where ann holds the lock and bob, who came before her, waits."""
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9, mode=holder, **more)
    desk.acquire("bob", ticket=WALL + 5, mode=head, **more)
    return desk


def inquired(desk: Desk, who: str, outbox: Outbox) -> bool:
    return Inquire(token_of(who), desk.lease(who).grant_id) in told(who, outbox)


@INCOMPATIBLE
def test_an_earlier_waiter_makes_the_node_inquire_the_holder(holder: Mode, head: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9, mode=holder)
    outbox = desk.acquire("bob", ticket=WALL + 5, mode=head)
    assert told("ann", outbox) == [Inquire(token_of("ann"), desk.lease("ann").grant_id)]
    assert [type(answer) for answer in told("bob", outbox)] == [Queued]


@INCOMPATIBLE
def test_a_later_waiter_does_not_inquire(holder: Mode, head: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=holder)
    only(Queued, desk.acquire("bob", mode=head))


def test_a_request_that_does_not_wait_does_not_inquire() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9)
    assert of_kind(Inquire, desk.acquire("bob", ticket=WALL + 5, wait=False)) == []


@pytest.mark.parametrize("space", [Space.QUORUM, Space.EFFICIENCY])
def test_sessions_are_inquired_in_their_spaces(space: Space) -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9, space=space)
    assert len(of_kind(Inquire, desk.acquire("bob", ticket=WALL + 5, space=space))) == 1


def test_holders_over_http_are_never_inquired_because_nothing_can_be_pushed_to_them() -> None:
    desk = overtaken(space=Space.NODE)
    assert of_kind(Inquire, desk.acquire("bob", space=Space.NODE)) == []
    only(Granted, desk.acquire("ann", space=Space.NODE))


def test_a_pair_of_head_and_grant_is_inquired_once() -> None:
    desk = overtaken()
    desk.acquire("cid", ticket=WALL + 20)
    for outbox in (desk.acquire("bob"), desk.renew("ann"), desk.release("cid"), desk.wait(1)):
        assert of_kind(Inquire, outbox) == []


def test_a_head_that_left_the_line_for_a_while_does_not_make_the_node_inquire_twice() -> None:
    desk = overtaken()
    assert inquired(desk, "ann", desk.acquire("cid", ticket=WALL + 1))
    assert of_kind(Inquire, desk.release("cid")) == []


def test_every_new_head_inquires_again() -> None:
    desk = overtaken()
    assert inquired(desk, "ann", desk.acquire("cid", ticket=WALL + 4))
    assert inquired(desk, "ann", desk.acquire("dan", ticket=WALL + 3))


def test_only_the_head_inquires() -> None:
    desk = overtaken()
    only(Queued, desk.acquire("cid", ticket=WALL + 6))


def test_a_holder_that_acquires_again_is_inquired_again() -> None:
    desk = overtaken()
    for _ in range(2):
        outbox = desk.acquire("ann")
        assert [type(answer) for answer in told("ann", outbox)] == [Granted, Inquire]


def test_a_writer_inquires_only_the_readers_who_came_after_it() -> None:
    desk = Desk()
    for who, ticket in (("ann", 1), ("bob", 7), ("cid", 8)):
        desk.acquire(who, ticket=WALL + ticket, mode=SHARED)
    outbox = desk.acquire("dan", ticket=WALL + 5)
    assert [inquired(desk, who, outbox) for who in ("ann", "bob", "cid")] == [False, True, True]


def test_the_next_in_line_inquires_when_it_becomes_head() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9, mode=SHARED)
    desk.acquire("bob", ticket=WALL + 5)
    desk.acquire("cid", ticket=WALL + 7)
    assert inquired(desk, "ann", desk.release("bob"))


@INCOMPATIBLE
def test_a_yield_hands_the_lock_to_the_head_and_the_giver_stands_in_line_again(holder: Mode, head: Mode) -> None:
    desk = overtaken(holder, head)
    outbox = desk.give_back("ann")
    assert [type(answer) for answer in told("bob", outbox)] == [Granted]
    assert (desk.line(), desk.holds("ann")) == (["ann"], False)


@INCOMPATIBLE
def test_a_grant_that_was_given_back_comes_again_with_a_new_number_and_a_larger_fence(holder: Mode, head: Mode) -> None:
    desk = overtaken(holder, head)
    before = desk.lease("ann").grant_id
    desk.give_back("ann")
    fence = desk.fence("bob")
    (granted,) = of_kind(Granted, desk.release("bob"))
    assert granted.grant_id > before
    assert (granted.resent, granted.fence > fence) == (False, True)
    assert desk.lease("ann").deadline == desk.now + TTL


def test_a_giver_stands_at_its_ticket_not_at_the_end() -> None:
    desk = overtaken()
    desk.acquire("cid", ticket=WALL + 20)
    desk.give_back("ann")
    assert desk.line() == ["ann", "cid"]


def test_a_giver_that_is_the_head_itself_is_granted_at_once_anew() -> None:
    desk = Desk()
    desk.acquire("ann")
    before = desk.lease("ann").grant_id
    assert only(Granted, desk.give_back("ann")).grant_id > before


@each_mode
@pytest.mark.parametrize("named", [(INCARNATION, 0), (INCARNATION, 2), (INCARNATION - 1, 1)])
def test_a_yield_of_another_grant_than_the_current_changes_nothing(mode: Mode, named: tuple[int, int]) -> None:
    desk = overtaken(mode)
    assert desk.lease("ann").grant_id == (INCARNATION, 1)
    assert desk.give_back("ann", named) == []
    assert (desk.holds("ann"), desk.line()) == (True, ["bob"])


def test_a_yield_sent_twice_does_not_give_back_the_next_grant() -> None:
    desk = overtaken()
    first = desk.lease("ann").grant_id
    desk.give_back("ann")
    desk.release("bob")
    assert desk.give_back("ann", first) == []
    assert desk.holds("ann")


def test_a_yield_by_a_waiter_is_not_answered_and_keeps_its_place() -> None:
    desk = overtaken()
    assert desk.give_back("bob", (INCARNATION, 1)) == []
    assert desk.line() == ["bob"]


@each_mode
def test_a_yield_of_a_token_unknown_here_is_lost(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.release("ann")
    assert told("ann", desk.give_back("ann", (INCARNATION, 1))) == [Lost(token_of("ann"))]


def test_a_giver_is_granted_over_the_session_that_gave_back() -> None:
    desk = overtaken()
    desk.give_back("ann", owner="new session")
    owners = [owner for owner, answer in desk.release("bob") if isinstance(answer, Granted)]
    assert owners == ["new session"]


def test_a_giver_that_waits_as_head_inquires_a_later_holder_in_its_turn() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 5, mode=SHARED)
    desk.acquire("bob", ticket=WALL + 9, mode=SHARED)
    desk.acquire("cid", ticket=WALL + 1)
    outbox = desk.give_back("bob")
    assert (desk.line(), of_kind(Inquire, outbox)) == (["cid", "bob"], [])
    assert [type(answer) for answer in told("cid", desk.give_back("ann"))] == [Granted]
    assert inquired(desk, "cid", desk.acquire("dan", ticket=WALL))


def test_a_grant_after_a_yield_is_no_longer_than_the_first_was() -> None:
    desk = Desk()
    desk.acquire("ann", ttl=microseconds(30))
    desk.renew("ann", microseconds(3600))
    desk.acquire("bob", ticket=1)
    desk.give_back("ann")
    assert [answer.ttl for answer in of_kind(Granted, desk.release("bob"))] == [microseconds(30)]
