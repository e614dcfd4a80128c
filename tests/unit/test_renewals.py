"""The one schedule of renewals: a third of the ttl, and nothing is due twice or too late."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lockmanager.durations import MICROSECONDS
from lockmanager.renewals import Renewals, period

TTL = 9 * MICROSECONDS
THIRD = 3 * MICROSECONDS


def test_the_period_is_a_third_of_the_ttl() -> None:
    assert (period(TTL), period(100_000)) == (THIRD, 33_333)


def test_nothing_is_due_where_nothing_is_scheduled() -> None:
    renewals: Renewals[str] = Renewals()
    assert (len(renewals), renewals.next(), renewals.shortest_ttl(), renewals.take_due(10**15)) == (0, None, None, [])


def test_an_item_is_due_a_period_after_it_was_set_and_not_before() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("ann", TTL, 100)
    assert renewals.next() == 100 + THIRD
    assert renewals.take_due(99 + THIRD) == []
    assert renewals.take_due(100 + THIRD) == ["ann"]


def test_an_item_taken_is_due_again_a_period_later() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("ann", TTL, 0)
    renewals.take_due(THIRD + 7)
    assert renewals.next() == 2 * THIRD + 7
    assert renewals.take_due(THIRD + 7) == []


def test_everything_due_is_taken_in_one_go_in_the_order_it_was_set() -> None:
    renewals: Renewals[str] = Renewals()
    for number, who in enumerate(("ann", "bob", "cid")):
        renewals.set(who, TTL, number)
    assert renewals.take_due(THIRD + 1) == ["ann", "bob"]
    assert renewals.take_due(THIRD + 2) == ["cid"]


def test_a_late_visit_takes_an_item_once_and_not_once_per_missed_period() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("ann", TTL, 0)
    assert renewals.take_due(50 * THIRD) == ["ann"]


def test_items_of_different_ttls_are_due_in_their_own_time() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("slow", 10 * TTL, 0)
    renewals.set("fast", TTL, 0)
    assert renewals.next() == THIRD
    assert renewals.take_due(THIRD) == ["fast"]
    assert sorted(renewals.take_due(10 * THIRD)) == ["fast", "slow"]


def test_setting_an_item_again_replaces_its_ttl_and_its_time() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("ann", TTL, 0)
    renewals.set("ann", 2 * TTL, 5)
    assert (len(renewals), renewals.next(), renewals.shortest_ttl()) == (1, 5 + 2 * THIRD, 2 * TTL)


def test_an_item_that_left_is_due_no_more() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("ann", TTL, 0)
    renewals.set("bob", TTL, 0)
    renewals.discard("ann")
    assert renewals.take_due(THIRD) == ["bob"]
    renewals.discard("bob")
    assert (len(renewals), renewals.next()) == (0, None)


def test_leaving_twice_or_without_having_come_is_no_error() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.discard("nobody")
    assert len(renewals) == 0


def test_the_shortest_ttl_is_that_of_the_items_that_are_left() -> None:
    renewals: Renewals[str] = Renewals()
    renewals.set("slow", 10 * TTL, 0)
    renewals.set("fast", TTL, 0)
    assert renewals.shortest_ttl() == TTL
    renewals.discard("fast")
    assert renewals.shortest_ttl() == 10 * TTL


STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "discard", "take"]), st.integers(0, 4), st.sampled_from([3, 30, 300])),
    max_size=60,
)


@settings(deadline=None, derandomize=True)
@given(steps=STEPS)
def test_the_schedule_agrees_with_a_plain_dictionary_of_due_times(steps: list[tuple[str, int, int]]) -> None:
    renewals: Renewals[int] = Renewals()
    plain: dict[int, tuple[int, int]] = {}
    now = 0
    for what, item, number in steps:
        if what == "set":
            renewals.set(item, number, now)
            plain[item] = (now + number // 3, number // 3)
        elif what == "discard":
            renewals.discard(item)
            plain.pop(item, None)
        else:
            now += number // 3
            due = {item for item, (at, _) in plain.items() if at <= now}
            assert set(renewals.take_due(now)) == due
            plain |= {item: (now + plain[item][1], plain[item][1]) for item in due}
        assert renewals.next() == min((at for at, _ in plain.values()), default=None)
        assert len(renewals) == len(plain)
