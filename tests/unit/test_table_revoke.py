"""Revoking for an operator: gently, exclusion is kept until the old leases end; by force, only the fence protects."""

from __future__ import annotations

import pytest

from lockmanager.wire import Granted, Lost, Mode, Released, Revoked, Space
from tests.support.table_cases import (
    EXCLUSIVE,
    KEY,
    SHARED,
    TTL,
    WALL,
    Desk,
    each_mode,
    granted_labels,
    of_kind,
    only,
    token_of,
    told,
)

each_force = pytest.mark.parametrize("force", [False, True], ids=["gently", "by force"])


def revoked(mode: Mode = EXCLUSIVE, *, force: bool = False) -> Desk:
    """Return a desk where ann's lease was revoked and nobody waits."""
    desk = Desk()
    desk.acquire("ann", mode=mode, ticket=WALL)
    desk.table.revoke(KEY, desk.now, force=force)
    return desk


@each_mode
@each_force
def test_every_holder_is_told_and_counted(mode: Mode, force: bool) -> None:
    desk = Desk()
    holders = ["ann", "bob"] if mode is SHARED else ["ann"]
    for who in holders:
        desk.acquire(who, mode=mode)
    count, outbox = desk.table.revoke(KEY, desk.now, force=force)
    assert count == len(holders)
    assert [answer.token for answer in of_kind(Revoked, outbox)] == [token_of(who) for who in holders]


@each_force
def test_revoking_a_lock_nobody_holds_is_no_error_and_changes_nothing(force: bool) -> None:
    desk = Desk()
    assert desk.table.revoke(KEY, desk.now, force=force) == (0, [])
    desk.acquire("ann", ticket=500)
    desk.release("ann")
    assert desk.table.revoke(KEY, desk.now, force=force) == (0, [])
    desk.acquire("bob", ticket=1)
    assert desk.fence("bob") == 501


@each_force
def test_revoking_touches_only_the_lock_named(force: bool) -> None:
    desk = Desk()
    desk.acquire("ann", space=Space.EFFICIENCY)
    desk.acquire("bob", name="another")
    desk.acquire("cid")
    assert desk.table.revoke(KEY, desk.now, force=force)[0] == 1
    assert [desk.lease(who).revoked for who in ("ann", "bob")] == [False, False]


@each_force
def test_a_lease_that_is_due_is_not_counted(force: bool) -> None:
    desk = Desk()
    desk.acquire("ann")
    assert desk.table.revoke(KEY, desk.now + TTL, force=force) == (0, [])


@each_mode
@each_force
def test_a_revoked_holder_can_neither_renew_nor_raise_nor_yield_nor_acquire_again(mode: Mode, force: bool) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    grant_id = desk.lease("ann").grant_id
    desk.table.revoke(KEY, desk.now, force=force)
    for outbox in (
        desk.renew("ann"),
        desk.raise_to("ann", WALL + 99),
        desk.give_back("ann", grant_id),
        desk.acquire("ann", mode=mode),
    ):
        assert only(Revoked, outbox) == Revoked(token_of("ann"))


@each_mode
def test_gently_revoked_exclusion_is_kept_until_the_ttl_ends(mode: Mode) -> None:
    desk = revoked(mode)
    desk.acquire("bob")
    assert granted_labels(desk, desk.wait(9.9)) == []
    assert granted_labels(desk, desk.wait(0.1)) == ["bob"]
    only(Lost, desk.renew("ann"))


@each_mode
def test_gently_revoked_exclusion_is_kept_until_the_release(mode: Mode) -> None:
    desk = revoked(mode)
    desk.acquire("bob")
    assert granted_labels(desk, desk.release("ann")) == ["bob"]


def test_a_refused_renewal_does_not_lengthen_a_gently_revoked_lease() -> None:
    desk = revoked()
    desk.wait(5)
    desk.renew("ann", 100 * TTL)
    desk.wait(5)
    assert not desk.holds("ann")


@each_mode
def test_by_force_the_head_is_granted_in_the_same_step(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=mode)
    desk.acquire("bob", mode=EXCLUSIVE)
    _, outbox = desk.table.revoke(KEY, desk.now, force=True)
    assert [type(answer) for answer in told("ann", outbox)] == [Revoked]
    assert [type(answer) for answer in told("bob", outbox)] == [Granted]


@pytest.mark.parametrize("first", list(Mode))
@pytest.mark.parametrize("second", list(Mode))
def test_by_force_the_marks_rise_so_that_the_old_holders_fence_is_stale(first: Mode, second: Mode) -> None:
    desk = Desk()
    desk.acquire("ann", mode=first, ticket=500)
    desk.table.revoke(KEY, desk.now, force=True)
    assert desk.table.largest_ticket == 501
    desk.acquire("bob", mode=second, ticket=1)
    assert desk.fence("bob") > 501


@each_mode
def test_by_force_the_old_token_is_answered_revoked_until_its_ttl_has_passed(mode: Mode) -> None:
    desk = revoked(mode, force=True)
    desk.wait(9.9)
    only(Revoked, desk.renew("ann"))
    desk.wait(0.1)
    only(Lost, desk.renew("ann"))
    only(Granted, desk.acquire("ann", mode=mode))


def test_by_force_a_renewed_lease_is_remembered_for_its_renewed_ttl() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.renew("ann", 3 * TTL)
    desk.table.revoke(KEY, desk.now, force=True)
    desk.wait(29.9)
    only(Revoked, desk.renew("ann"))


def test_a_release_after_force_is_answered_as_any_other() -> None:
    desk = revoked(force=True)
    assert only(Released, desk.release("ann")) == Released(token_of("ann"))


def test_force_after_a_gentle_revocation_ends_the_lease_at_once() -> None:
    desk = revoked()
    assert desk.table.revoke(KEY, desk.now, force=True)[0] == 1
    assert not desk.holds("ann")
    only(Revoked, desk.renew("ann"))


def test_waiters_are_not_revoked() -> None:
    desk = Desk()
    desk.acquire("ann")
    desk.acquire("bob")
    _, outbox = desk.table.revoke(KEY, desk.now, force=False)
    assert (told("bob", outbox), desk.line()) == ([], ["bob"])


def test_what_is_remembered_of_a_revocation_does_not_show_the_token() -> None:
    desk = revoked(force=True)
    assert token_of("ann") not in repr(list(desk.table._revoked.values()))
