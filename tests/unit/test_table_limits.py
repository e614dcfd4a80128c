"""The table's limits: each a clear refusal that changes nothing, and none that hits who is already there."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from lockmanager.wire import Granted, Queued, Rejected, Space, Token
from lockmanager_node.limits import Limits
from lockmanager_node.lock import HOLDERS_SHOWN
from tests.support.table_cases import SHARED, WALL, Desk, acquire, only, session_of, token_of

DAY = 24 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("field", "bad"), [("name", ""), ("name", "x" * 256), ("label", "x" * 129), ("ttl", 1), ("ticket", WALL + DAY + 1)]
)
def test_an_acquire_over_a_limit_is_rejected_by_the_field_and_leaves_nothing(field: str, bad: Any) -> None:
    desk = Desk()
    request = acquire("ann", **{"ticket": WALL, field: bad})
    rejected = only(Rejected, desk.ask("ann", request))
    assert (rejected.token, rejected.code) == (token_of("ann"), field)
    assert (desk.table.locks, desk.table.next_deadline()) == ({}, None)


def test_a_malformed_token_is_rejected() -> None:
    request = structs.replace(acquire("ann", ticket=WALL), token=Token("too short"))
    assert only(Rejected, Desk().ask("ann", request)).code == "token"


def test_the_node_is_full_at_its_limit_of_leases_and_waiters_together() -> None:
    desk = Desk(Limits(leases=3))
    for n in range(2):
        only(Granted, desk.acquire(f"p{n}", name=f"lock {n}"))
    only(Queued, desk.acquire("p2", name="lock 1"))
    rejected = only(Rejected, desk.acquire("p3", name="lock 3"))
    assert (rejected.code, "3" in rejected.detail) == ("leases", True)
    desk.release("p0")
    only(Granted, desk.acquire("p3", name="lock 3"))


def test_a_full_node_still_answers_those_it_knows() -> None:
    desk = Desk(Limits(leases=1))
    desk.acquire("ann")
    assert only(Granted, desk.acquire("ann")).resent


def test_a_line_is_full_at_its_limit() -> None:
    desk = Desk(Limits(waiters=2))
    for who in ("ann", "bob", "cid"):
        desk.acquire(who)
    rejected = only(Rejected, desk.acquire("dan"))
    assert (rejected.code, "wait for this lock" in rejected.detail) == ("waiters", True)
    assert desk.line() == ["bob", "cid"]
    desk.release("bob")
    only(Queued, desk.acquire("dan"))


def test_the_line_of_another_lock_has_its_own_limit() -> None:
    desk = Desk(Limits(waiters=1))
    for space in (Space.QUORUM, Space.EFFICIENCY):
        desk.acquire(f"holder{space:d}", space=space)
        only(Queued, desk.acquire(f"waiter{space:d}", space=space))


def test_a_session_is_full_at_its_limit_of_waiters_over_all_locks() -> None:
    desk = Desk(Limits(waiters=2))
    for n in range(3):
        desk.acquire(f"holder{n}", name=f"lock {n}")
    for n in range(2):
        only(Queued, desk.acquire(f"waiter{n}", name=f"lock {n}", owner=session_of("bob")))
    rejected = only(Rejected, desk.acquire("waiter2", name="lock 2", owner=session_of("bob")))
    assert (rejected.code, "this session" in rejected.detail) == ("waiters", True)
    only(Queued, desk.acquire("waiter2", name="lock 2"))


def test_a_request_that_does_not_wait_needs_no_place_in_line() -> None:
    desk = Desk(Limits(waiters=1))
    desk.acquire("ann", mode=SHARED)
    desk.acquire("bob", mode=SHARED, name="another", owner=session_of("cid"))
    desk.acquire("cid", name="another")
    only(Granted, desk.acquire("dan", mode=SHARED, wait=False, owner=session_of("cid")))


def test_a_refusal_shows_only_so_many_holders_of_a_lock_that_thousands_share() -> None:
    desk = Desk()
    for n in range(1_000):
        desk.acquire(f"p{n}", mode=SHARED)
    holders = only(Queued, desk.acquire("writer")).holders
    assert [holder.label for holder in holders] == [f"p{n}" for n in range(HOLDERS_SHOWN)]
