"""Leases that other nodes told of: they keep others out for their full ttl, and belong to whoever has the token."""

from __future__ import annotations

import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import (
    Granted,
    Inquire,
    Lost,
    Mode,
    Queued,
    Raised,
    Refused,
    Released,
    Renewed,
    Revoked,
    Yield,
    token_digest,
    token_hash,
)
from lockmanager_node.books import adoption
from lockmanager_node.records import Adoption
from lockmanager_node.web import listing
from tests.support.table_cases import (
    EXCLUSIVE,
    KEY,
    SHARED,
    TTL,
    WALL,
    Desk,
    each_mode,
    of_kind,
    only,
    session_of,
    token_of,
    told,
)

FENCE = WALL + 500


def told_of(who: str, *, mode: Mode = EXCLUSIVE, ttl: int = TTL, fence: int = FENCE, revoked: bool = False) -> Adoption:
    """Return what another node tells of this person's lease."""
    return Adoption(token_digest(token_of(who)), KEY[1], who, WALL, mode, fence, ttl, revoked)


def rejoined(*adoptions: Adoption, floor: int = 0) -> Desk:
    """Return a node that has just adopted these leases."""
    desk = Desk()
    desk.table.silent = True
    assert desk.table.serve(adoptions, floor, desk.now) == []
    return desk


@each_mode
def test_an_adopted_lease_keeps_others_out_for_its_full_ttl(mode: Mode) -> None:
    desk = rejoined(told_of("ann", mode=mode, ttl=3 * TTL))
    assert only(Queued, desk.acquire("bob")).holders[0].label == "ann"
    assert desk.wait(29.9) == []
    assert only(Granted, desk.wait(0.1)).token == token_of("bob")


def test_readers_stand_beside_an_adopted_reader_and_writers_do_not() -> None:
    desk = rejoined(told_of("ann", mode=SHARED))
    only(Granted, desk.acquire("bob", mode=SHARED))
    only(Refused, desk.acquire("cid", mode=EXCLUSIVE, wait=False))


def test_a_renewal_extends_it_for_whoever_has_its_token() -> None:
    desk = rejoined(told_of("ann"))
    desk.wait(8)
    assert only(Renewed, desk.renew("ann", 2 * TTL)).ttl == 2 * TTL
    desk.acquire("bob")
    assert desk.wait(19.9) == []
    assert only(Granted, desk.wait(0.1)).token == token_of("bob")


def test_a_renewal_never_shortens_it() -> None:
    desk = rejoined(told_of("ann", ttl=6 * TTL))
    desk.renew("ann", TTL)
    desk.wait(59.9)
    assert desk.holds("ann")


def test_others_renew_nothing() -> None:
    desk = rejoined(told_of("ann"))
    only(Lost, desk.renew("bob"))


def test_a_release_ends_it_and_the_head_of_the_line_follows() -> None:
    desk = rejoined(told_of("ann"))
    desk.acquire("bob")
    outbox = desk.release("ann")
    assert {type(answer) for _, answer in outbox} == {Granted, Released}
    assert told("bob", outbox)[0].token == token_of("bob")


def test_its_owner_is_granted_at_once_and_keeps_what_was_adopted() -> None:
    desk = rejoined(told_of("ann", ttl=6 * TTL))
    granted = only(Granted, desk.acquire("ann", ttl=TTL))
    assert (granted.ttl, granted.resent) == (TTL, False)
    assert granted.fence > FENCE
    assert desk.table.lease_count == 1
    desk.wait(59.9)
    assert desk.holds("ann")
    desk.wait(0.1)
    assert not desk.holds("ann")


def test_a_grant_that_outlives_what_was_adopted_keeps_its_own_deadline() -> None:
    desk = rejoined(told_of("ann", ttl=TTL))
    desk.acquire("ann", ttl=3 * TTL)
    desk.wait(29.9)
    assert desk.holds("ann")


def test_one_who_waited_through_the_silence_is_granted_over_its_own_lease_only() -> None:
    desk = Desk()
    desk.table.silent = True
    desk.acquire("ann", ticket=WALL + 1)
    desk.acquire("bob", ticket=WALL + 2)
    outbox = desk.table.serve([told_of("ann", ttl=6 * TTL)], 0, desk.now)
    assert [granted.token for granted in of_kind(Granted, outbox)] == [token_of("ann")]
    assert adoption(desk.lease("ann")).ttl == 6 * TTL


def test_of_two_adopted_that_exclude_each_other_neither_is_granted_while_both_stand() -> None:
    """One of them may be held on the word of the node's forgotten self, and nobody here can tell which."""
    desk = rejoined(told_of("ann"), told_of("bob", ttl=2 * TTL))
    only(Queued, desk.acquire("ann"))
    assert desk.wait(19.9) == []
    assert desk.table.lease_count == 1
    assert only(Granted, desk.wait(0.1)).token == token_of("ann")


def test_both_of_two_adopted_may_be_renewed() -> None:
    desk = rejoined(told_of("ann"), told_of("bob"))
    only(Renewed, desk.renew("ann"))
    only(Renewed, desk.renew("bob"))


def test_one_in_line_renews_what_was_adopted_of_it() -> None:
    """It may have become the holder after it asked here again, by the word of the node's forgotten self."""
    desk = rejoined(told_of("ann"), told_of("bob"))
    desk.acquire("ann")
    only(Renewed, desk.renew("ann", 6 * TTL))
    assert only(Granted, desk.wait(TTL / MICROSECONDS)).token == token_of("ann")
    assert adoption(desk.lease("ann")).ttl == 6 * TTL


def test_the_release_of_one_in_line_ends_what_was_adopted_of_it_too() -> None:
    desk = rejoined(told_of("ann"), told_of("bob"))
    desk.acquire("ann")
    desk.release("ann")
    assert [lease.waiter.label for lease in desk.table.leases_after(0)] == ["bob"]
    assert desk.line() == []


def test_its_fence_can_be_raised_and_later_fences_exceed_it() -> None:
    desk = rejoined(told_of("ann"))
    assert only(Raised, desk.raise_to("ann", FENCE + 50)).fence == FENCE + 50
    desk.acquire("bob")
    assert told("bob", desk.release("ann"))[0].fence == FENCE + 51  # type: ignore[union-attr]


def test_later_fences_exceed_that_of_an_adopted_lease_and_the_floor() -> None:
    desk = rejoined(told_of("ann"), floor=FENCE + 9)
    desk.acquire("bob")
    assert told("bob", desk.release("ann"))[0].fence == FENCE + 10  # type: ignore[union-attr]


def test_a_yield_of_an_earlier_grant_changes_nothing() -> None:
    desk = rejoined(told_of("ann"))
    adopted = desk.lease("ann")
    for grant_id in ((1, 1), adopted.grant_id):
        assert desk.ask("ann", Yield(token_of("ann"), grant_id)) == []
    assert desk.holds("ann")


def test_it_is_never_inquired() -> None:
    desk = rejoined(told_of("ann"))
    assert of_kind(Inquire, desk.acquire("bob", ticket=1)) == []


def test_it_is_told_onwards_with_its_full_ttl() -> None:
    desk = rejoined(told_of("ann", ttl=6 * TTL, fence=FENCE))
    desk.acquire("bob", name="another", ttl=TTL)
    desk.renew("bob", 3 * TTL)
    desk.wait(1)
    told_onwards = [adoption(lease) for lease in desk.table.leases_after(0)]
    assert [(one.label, one.ttl) for one in told_onwards] == [("ann", 6 * TTL), ("bob", 3 * TTL)]
    assert told_onwards[0] == told_of("ann", ttl=6 * TTL)


def test_leases_are_told_in_pages_by_their_numbers() -> None:
    desk = rejoined(told_of("ann", mode=SHARED), told_of("bob", mode=SHARED))
    for number in range(4):
        desk.acquire(f"c{number}", name=f"lock {number}")
    numbers = [lease.number for lease in desk.table.leases_after(0)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6
    assert [lease.number for lease in desk.table.leases_after(numbers[2])] == numbers[3:]
    assert list(desk.table.leases_after(numbers[-1])) == []


def test_it_is_listed_under_the_hash_of_its_token() -> None:
    desk = rejoined(told_of("ann"))
    (item,) = listing.named(desk.table, desk.now, KEY[1])
    assert [(one.label, one.token_hash) for one in item.holders] == [("ann", token_hash(token_of("ann")))]
    assert [name for name, _ in listing.held(desk.table, desk.now)] == [KEY[1]]
    assert desk.table.key_of(token_of("ann")) == KEY


@pytest.mark.parametrize("force", [False, True])
def test_an_operator_ends_it_like_any_other(force: bool) -> None:
    desk = rejoined(told_of("ann"))
    desk.renew("ann")
    count, outbox = desk.table.revoke(KEY, desk.now, force=force)
    assert count == 1
    assert told("ann", outbox) == [Revoked(token_of("ann"))]
    assert desk.holds("ann") is not force
    only(Revoked, desk.renew("ann"))
    only(Revoked, desk.acquire("ann"))


def test_one_that_was_revoked_elsewhere_is_adopted_as_such() -> None:
    desk = rejoined(told_of("ann", revoked=True))
    only(Revoked, desk.renew("ann"))
    only(Refused, desk.acquire("bob", wait=False))


def test_one_who_waited_through_the_silence_learns_that_its_lease_was_revoked_elsewhere() -> None:
    desk = Desk()
    desk.table.silent = True
    desk.acquire("ann")
    outbox = desk.table.serve([told_of("ann", revoked=True)], 0, desk.now)
    assert [type(answer) for answer in told("ann", outbox)] == [Granted, Revoked]
    only(Revoked, desk.renew("ann"))


def test_it_is_addressed_to_whoever_renewed_it() -> None:
    desk = rejoined(told_of("ann"))
    desk.renew("ann", owner="another session")
    _, outbox = desk.table.revoke(KEY, desk.now, force=False)
    assert [to for to, _ in outbox] == ["another session"]


def test_a_lease_released_during_the_silence_is_not_adopted() -> None:
    desk = Desk()
    desk.table.silent = True
    desk.release("ann")
    desk.table.serve([told_of("ann", mode=SHARED), told_of("bob", mode=SHARED)], 0, desk.now)
    assert not desk.holds("ann")
    assert desk.holds("bob")


def test_leases_are_told_in_the_order_of_their_numbers_and_none_after_the_last_number() -> None:
    desk = rejoined(told_of("ann"))
    desk.acquire("bob", name="another")
    ann, bob = desk.lease("ann"), desk.lease("bob")
    assert list(desk.table.leases_after(0)) == [ann, bob]
    assert list(desk.table.leases_after(ann.number)) == [bob]
    assert bob.number == desk.table.last_number
    assert list(desk.table.leases_after(desk.table.last_number)) == []


def test_nothing_of_it_is_left_when_it_is_over() -> None:
    desk = rejoined(told_of("ann"))
    desk.wait(TTL / MICROSECONDS)
    desk.wait(61)
    assert (desk.table.lease_count, desk.table.locks, desk.table.next_deadline()) == (0, {}, None)


def test_ending_a_session_leaves_it() -> None:
    desk = rejoined(told_of("ann"))
    desk.renew("ann")
    desk.table.end_session(session_of("ann"), desk.now)
    assert desk.holds("ann")


def test_a_representation_shows_no_token() -> None:
    desk = rejoined(told_of("ann"))
    desk.renew("ann")
    assert token_of("ann") not in repr(desk.lease("ann"))
