"""Acquire and release: who is granted, who waits, who is refused, and that repeating a request changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from lockmanager.wire import Granted, Holder, Mode, Queued, Refused, Rejected, Released, Space, token_hash
from tests.support.table_cases import (
    EXCLUSIVE,
    INCARNATION,
    KEY,
    SHARED,
    TTL,
    WALL,
    Desk,
    each_mode,
    each_space,
    only,
    session_of,
    token_of,
    told,
)


@each_space
@each_mode
def test_a_free_lock_is_granted_at_once(mode: Mode, space: Space) -> None:
    granted = only(Granted, Desk().acquire("ann", ticket=WALL, mode=mode, space=space))
    assert granted == Granted(token_of("ann"), (INCARNATION, 1), WALL, TTL, resent=False)


@each_mode
def test_a_grant_stands_for_its_ttl_from_now(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode, ttl=TTL)
    assert desk.lease("ann").deadline == desk.now + TTL


def test_every_grant_has_a_number_of_its_own_across_locks() -> None:
    desk = Desk()
    numbers = [only(Granted, desk.acquire(f"p{n}", name=f"lock {n}")).grant_id for n in range(5)]
    assert numbers == [(INCARNATION, n) for n in range(1, 6)]


@pytest.mark.parametrize(("first", "second"), [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)])
def test_incompatible_requests_queue_behind_the_holder_and_are_told_who_it_is(first: Mode, second: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=first)
    queued = only(Queued, desk.acquire("bob", mode=second))
    assert queued.holders == [Holder("ann", token_hash(token_of("ann")), first)]
    assert desk.line() == ["bob"]


@pytest.mark.parametrize(("first", "second"), [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)])
def test_a_request_that_does_not_wait_is_refused_with_the_holders_and_leaves_nothing(first: Mode, second: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=first)
    refused = only(Refused, desk.acquire("bob", mode=second, wait=False))
    assert refused.holders == [Holder("ann", token_hash(token_of("ann")), first)]
    assert (desk.line(), desk.table.waiter_count) == ([], 0)


def test_readers_stand_beside_each_other() -> None:
    desk = Desk()
    for who in ("ann", "bob", "cid"):
        only(Granted, desk.acquire(who, mode=SHARED))
    assert desk.table.lease_count == 3


def test_locks_of_different_names_do_not_exclude_each_other() -> None:
    desk = Desk()
    desk.acquire("ann", name="a")
    only(Granted, desk.acquire("bob", name="b"))


def test_locks_of_different_spaces_do_not_exclude_each_other() -> None:
    desk = Desk()
    for who, space in zip(("ann", "bob", "cid"), Space, strict=True):
        only(Granted, desk.acquire(who, space=space))


def test_a_later_reader_waits_behind_a_waiting_writer() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=EXCLUSIVE)
    only(Queued, desk.acquire("cid", mode=SHARED))
    assert desk.line() == ["bob", "cid"]


def test_a_later_reader_that_does_not_wait_is_refused_while_a_writer_waits() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=EXCLUSIVE)
    only(Refused, desk.acquire("cid", mode=SHARED, wait=False))


def test_a_reader_with_an_earlier_ticket_than_the_waiting_writer_joins_the_readers() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED, ticket=WALL)
    desk.acquire("bob", mode=EXCLUSIVE, ticket=WALL + 9)
    only(Granted, desk.acquire("cid", mode=SHARED, ticket=WALL + 5))
    assert desk.line() == ["bob"]


@each_mode
def test_a_repeated_acquire_gets_the_same_grant_marked_as_sent_again(mode: Mode) -> None:
    desk = Desk()
    first = only(Granted, desk.acquire("ann", mode=mode))
    desk.wait(1)
    again = only(Granted, desk.acquire("ann", mode=mode))
    assert again == Granted(first.token, first.grant_id, first.fence, first.ttl, resent=True)
    assert desk.table.lease_count == 1


@each_mode
def test_a_repeated_acquire_does_not_lengthen_the_lease(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    deadline = desk.lease("ann").deadline
    desk.wait(1)
    desk.acquire("ann", mode=mode, ttl=10 * TTL)
    assert desk.lease("ann").deadline == deadline


@each_mode
def test_a_repeated_acquire_keeps_the_first_place_in_line(mode: Mode) -> None:
    desk = Desk()
    for who in ("ann", "bob", "cid"):
        desk.acquire(who, mode=EXCLUSIVE if who == "ann" else mode)
    only(Queued, desk.acquire("bob", mode=mode))
    assert desk.line() == ["bob", "cid"]


@each_mode
def test_a_waiter_that_acquires_again_without_waiting_leaves_the_line(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode)
    only(Refused, desk.acquire("bob", mode=mode, wait=False))
    assert (desk.line(), desk.table.waiter_count) == ([], 0)


def test_a_writer_that_gives_up_waiting_lets_the_readers_behind_it_in() -> None:
    desk = Desk()
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=EXCLUSIVE)
    desk.acquire("cid", mode=SHARED)
    outbox = desk.acquire("bob", mode=EXCLUSIVE, wait=False)
    assert [type(answer) for answer in told("bob", outbox)] == [Refused]
    assert [type(answer) for answer in told("cid", outbox)] == [Granted]


@pytest.mark.parametrize("changed", [{"name": "another"}, {"space": Space.EFFICIENCY}, {"mode": SHARED}])
@pytest.mark.parametrize("waits", [False, True], ids=["leased", "waiting"])
def test_a_token_cannot_stand_for_two_acquisitions(changed: dict[str, Any], waits: bool) -> None:
    desk = Desk()
    if waits:
        desk.acquire("holder")
    desk.acquire("ann")
    rejected = only(Rejected, desk.acquire("ann", **changed))
    assert (rejected.token, rejected.code) == (token_of("ann"), "token")
    assert (desk.holds("ann"), desk.line()) == (not waits, ["ann"] * waits)
    assert list(desk.table.locks) == [KEY]


def test_answers_about_a_lease_go_to_the_session_that_acquired_it_last() -> None:
    desk = Desk()
    desk.acquire("ann", ticket=WALL + 9, owner="old session")
    desk.acquire("ann", owner="new session")
    assert "new session" in [owner for owner, _ in desk.acquire("bob", ticket=WALL)]


@each_mode
def test_a_grant_is_pushed_to_the_session_that_acquired_last(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode, owner="old session")
    desk.acquire("bob", mode=mode, owner="new session")
    owners = {owner for owner, answer in desk.release("ann") if isinstance(answer, Granted)}
    assert owners == {"new session"}


@each_mode
def test_a_release_ends_the_lease(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    assert only(Released, desk.release("ann")) == Released(token_of("ann"))
    assert not desk.holds("ann")
    only(Granted, desk.acquire("bob"))


@each_mode
def test_a_release_ends_the_place_in_line(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode)
    only(Released, desk.release("bob"))
    assert (desk.line(), desk.table.waiter_count, desk.holds("ann")) == ([], 0, True)


@each_mode
def test_a_release_is_idempotent_and_an_unknown_token_is_no_error(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.acquire("bob", mode=mode)
    desk.release("ann")
    for who in ("ann", "stranger"):
        assert desk.release(who) == [(session_of(who), Released(token_of(who)))]
    assert desk.holds("bob")


def test_a_release_from_another_session_is_answered_there() -> None:
    desk = Desk()
    desk.acquire("ann")
    assert desk.release("ann", owner="elsewhere") == [("elsewhere", Released(token_of("ann")))]


def test_a_released_token_can_acquire_anew() -> None:
    desk = Desk()
    first = only(Granted, desk.acquire("ann"))
    desk.release("ann")
    second = only(Granted, desk.acquire("ann"))
    assert (second.resent, second.grant_id > first.grant_id, second.fence > first.fence) == (False, True, True)
