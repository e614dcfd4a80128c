"""Renewal: a live lease is extended and never shortened; what is not leased here cannot be renewed."""

from __future__ import annotations

import pytest

from lockmanager.durations import microseconds
from lockmanager.wire import Granted, Lost, Mode, Rejected, Renewed
from tests.support.table_cases import TTL, Desk, each_mode, of_kind, only, token_of


@each_mode
def test_a_renewal_extends_the_lease_to_its_ttl_from_now(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.wait(4)
    assert only(Renewed, desk.renew("ann", TTL)) == Renewed(token_of("ann"), TTL)
    assert desk.lease("ann").deadline == desk.now + TTL


@each_mode
def test_a_renewed_lease_outlives_its_first_deadline_and_ends_at_the_new_one(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.wait(9)
    desk.renew("ann")
    desk.wait(9.9)
    assert desk.holds("ann")
    desk.wait(0.1)
    assert not desk.holds("ann")


@each_mode
def test_a_renewal_with_a_shorter_ttl_does_not_shorten_the_lease(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    deadline = desk.lease("ann").deadline
    only(Renewed, desk.renew("ann", TTL // 10))
    assert desk.lease("ann").deadline == deadline
    desk.wait(9)
    assert desk.holds("ann")


@each_mode
def test_a_renewal_may_lengthen_the_ttl(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    only(Renewed, desk.renew("ann", 100 * TTL))
    desk.wait(999)
    assert desk.holds("ann")


def test_a_lease_renewed_and_given_back_is_granted_again_for_the_ttl_it_was_acquired_with() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.renew("ann", 3 * TTL)
    assert only(Granted, desk.give_back("ann")).ttl == TTL
    assert desk.lease("ann").deadline == desk.now + TTL


@each_mode
def test_a_renewal_of_a_token_unknown_here_is_lost(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.release("ann")
    assert only(Lost, desk.renew("ann")) == Lost(token_of("ann"))


@each_mode
def test_an_expired_lease_cannot_be_renewed(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.now += TTL
    only(Lost, desk.renew("ann"))


def test_an_expired_lease_that_is_renewed_late_has_gone_to_the_next_in_line() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob")
    desk.now += TTL
    outbox = desk.renew("ann")
    assert [answer.token for answer in of_kind(Granted, outbox)] == [token_of("bob")]
    assert [answer.token for answer in of_kind(Lost, outbox)] == [token_of("ann")]


@each_mode
def test_a_renewal_by_a_waiter_is_not_answered_and_keeps_its_place(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob", mode=mode)
    assert desk.renew("bob") == []
    assert desk.line() == ["bob"]


@pytest.mark.parametrize("ttl", [0, -1, microseconds(0.1) - 1, microseconds(30 * 24 * 3600) + 1])
def test_a_renewal_with_a_ttl_outside_the_limits_is_rejected_and_changes_nothing(ttl: int) -> None:
    desk = Desk()
    desk.acquire("ann")
    deadline = desk.lease("ann").deadline
    assert only(Rejected, desk.renew("ann", ttl)).code == "ttl"
    assert (desk.lease("ann").deadline, desk.lease("ann").waiter.ttl) == (deadline, TTL)


def test_a_renewal_from_another_session_is_answered_there() -> None:
    desk = Desk()
    desk.acquire("ann")
    assert desk.renew("ann", owner="elsewhere") == [("elsewhere", Renewed(token_of("ann"), TTL))]
