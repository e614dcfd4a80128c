"""Events become operations, leases and accesses; contradictions are no lock's fault and are said to be errors."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.chaos.checking.operations import Lease, by_lock, pair
from tests.chaos.checking.script import ALICE, BOB, LOCK, history, lock_history
from tests.chaos.history import FOREVER, BrokenHistory, Event, History

_HELD = ALICE.acquires(10, 20, fence=1, until=100)


def _lease(*operations: list[Event]) -> Lease:
    (lease,) = lock_history(_HELD, *operations).leases
    return lease


def test_an_operation_runs_from_its_begin_to_its_end() -> None:
    (operation,) = pair(_HELD)
    assert (operation.begin, operation.end, operation.outcome) == (10, 20, "ok")
    assert (operation.fence, operation.until) == (1, 100)


def test_an_operation_without_an_end_is_ambiguous_and_may_take_effect_at_any_time() -> None:
    (operation,) = pair(ALICE.asks(10))
    assert (operation.outcome, operation.end) == ("ambiguous", FOREVER)


def test_an_operation_whose_client_could_not_tell_is_ambiguous_for_ever() -> None:
    (operation,) = pair(ALICE.acquires(10, 20, fence=0, until=0, phase="ambiguous"))
    assert (operation.outcome, operation.end) == ("ambiguous", FOREVER)


@pytest.mark.parametrize(
    ("operations", "end"),
    [
        ([], 100),
        ([ALICE.releases(40, 50, fence=1)], 40),
        ([ALICE.releases(40, 50, fence=1, phase="ambiguous")], 40),
        ([ALICE.releases(40, 50, fence=1, phase="fail"), ALICE.releases(60, 70, fence=1)], 40),
        ([ALICE.is_told_of_loss(30, fence=1), ALICE.releases(40, 50, fence=1)], 30),
        ([ALICE.releases(120, 130, fence=1)], 100),
        ([ALICE.releases(120, 130, fence=1, until=160)], 120),
        ([ALICE.is_told_of_loss(140, fence=1), ALICE.releases(150, 160, fence=1)], 100),
    ],
)
def test_a_lease_is_relied_on_until_the_first_of_its_release_its_loss_and_its_last_instant(
    operations: list[list[Event]], end: int
) -> None:
    lease = _lease(*operations)
    assert (lease.start, lease.end) == (20, end)


def test_a_lease_that_is_over_when_known_of_is_never_held() -> None:
    (late,) = lock_history(ALICE.acquires(10, 20, fence=1, until=0)).leases
    (timely,) = lock_history(ALICE.acquires(10, 20, fence=1, until=20)).leases
    assert (late.held, timely.held) == (False, True)


def test_a_client_whose_last_line_is_torn_is_relied_on_up_to_the_line_before() -> None:
    (lock,) = by_lock(history(_HELD, BOB.acquires(110, 120, fence=2, until=200), cut={"alice": 20}))
    assert [lease.end for lease in lock.leases] == [20, 200]


def test_operations_belong_to_their_own_client_s_lease_with_that_fence() -> None:
    lock = lock_history(
        _HELD,
        ALICE.reads(30, 31, fence=1, value=0),
        BOB.reads(30, 31, fence=1, value=0),
        ALICE.releases(40, 50, fence=1),
        BOB.releases(40, 50, fence=1),
    )
    assert [access.lease is None for access in lock.accesses] == [False, True]
    assert [release.client for release in lock.unowned] == ["bob"]


def test_who_may_have_acquired_is_vouched_for_until_it_acquires_again() -> None:
    lock = lock_history(
        BOB.asks(10),
        BOB.writes(30, 31, fence=1, value=1),
        BOB.releases(32, 33, fence=1),
        BOB.acquires(40, 50, fence=3, until=100),
        BOB.writes(60, 61, fence=2, value=1),
        BOB.releases(62, 63, fence=2),
        ALICE.writes(70, 71, fence=1, value=1),
    )
    assert [access.vouched for access in lock.accesses] == [True, False, False]
    assert [release.begin for release in lock.unowned] == [62]


def test_locks_are_told_apart() -> None:
    other = [replace(event, lock="invoices", op=event.op + 1) for event in _HELD]
    assert [(lock.lock, len(lock.leases)) for lock in by_lock(history(_HELD, other))] == [(LOCK, 1), ("invoices", 1)]


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        (_HELD[:1] * 2, "begins a second time"),
        (_HELD[1:], "its begin is None"),
        ([*_HELD, _HELD[1]], "its begin is None"),
        ([replace(_HELD[0], at=21), _HELD[1]], "ends at 20"),
        ([_HELD[0], replace(_HELD[1], lock="invoices")], "'invoices' ends"),
        ([_HELD[0], replace(_HELD[1], kind="release")], "release 10 of client alice"),
        ([_HELD[0], replace(_HELD[1], mode="shared")], "its begin is Event"),
        ([*_HELD, *ALICE.is_told_of_loss(30, fence=2)], "fence 2, which that client never got"),
        ([*_HELD, *ALICE.releases(15, 25, fence=1)], "begins before its client knows of its"),
        ([*_HELD, *ALICE.reads(15, 25, fence=1, value=0)], "begins before its client knows of its"),
    ],
)
def test_events_that_contradict_each_other_are_an_error(events: list[Event], complaint: str) -> None:
    with pytest.raises(BrokenHistory, match=complaint):
        by_lock(History(events=events))
