"""The silence rule: a waiting session that missed three heartbeats is given up, and no other."""

from __future__ import annotations

import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager_node.line import Owner
from lockmanager_node.silence import SilenceWatch, patience
from tests.support.table_cases import NOW

TTL = MICROSECONDS
PATIENCE = patience(TTL)


class Watch(SilenceWatch):
    """A watch over sessions whose shortest waiting ttl the test sets."""

    def __init__(self, **ttls: int) -> None:
        self.ttls: dict[Owner, int] = dict(ttls)
        super().__init__(self.ttls.get)
        for owner, ttl in ttls.items():
            self.heard(owner, NOW)
            self.waits(owner, ttl, NOW)


@pytest.mark.parametrize(("ttl", "heartbeats"), [(1_000_000, 600_000), (100_000, 60_000), (30_000_000, 3_000_000)])
def test_patience_is_three_heartbeats_of_a_fifth_of_the_ttl_or_a_second(ttl: int, heartbeats: int) -> None:
    assert patience(ttl) == heartbeats


def test_a_waiting_session_is_overdue_after_three_heartbeats_of_silence_and_not_before() -> None:
    watch = Watch(ann=TTL)
    assert watch.next_deadline() == NOW + PATIENCE
    assert watch.overdue(NOW + PATIENCE - 1) == []
    assert watch.overdue(NOW + PATIENCE) == ["ann"]


def test_an_overdue_session_is_named_once_and_then_forgotten() -> None:
    watch = Watch(ann=TTL)
    watch.overdue(NOW + PATIENCE)
    assert watch.next_deadline() is None
    watch.waits("ann", TTL, NOW + PATIENCE)
    assert watch.next_deadline() is None


def test_a_sign_of_life_starts_the_patience_anew() -> None:
    watch = Watch(ann=TTL)
    watch.heard("ann", NOW + PATIENCE - 1)
    assert watch.overdue(NOW + PATIENCE) == []
    assert watch.next_deadline() == NOW + 2 * PATIENCE - 1
    assert watch.overdue(NOW + 2 * PATIENCE - 1) == ["ann"]


def test_a_session_that_waits_for_nothing_any_more_is_never_overdue() -> None:
    watch = Watch(ann=TTL)
    watch.ttls.clear()
    assert watch.overdue(NOW + 10 * PATIENCE) == []
    assert watch.next_deadline() is None


def test_a_session_that_waits_again_later_is_watched_again() -> None:
    watch = Watch(ann=TTL)
    watch.ttls.clear()
    watch.overdue(NOW + PATIENCE)
    watch.ttls["ann"] = TTL
    watch.heard("ann", NOW + 5 * PATIENCE)
    watch.waits("ann", TTL, NOW + 5 * PATIENCE)
    assert watch.overdue(NOW + 6 * PATIENCE) == ["ann"]


def test_the_shortest_waiting_ttl_sets_the_patience() -> None:
    watch = Watch(ann=TTL)
    watch.ttls["ann"] = TTL // 2
    watch.waits("ann", TTL // 2, NOW)
    assert watch.overdue(NOW + PATIENCE // 2) == ["ann"]


def test_a_longer_ttl_beside_a_shorter_one_does_not_lengthen_the_patience() -> None:
    watch = Watch(ann=TTL)
    watch.waits("ann", 10 * TTL, NOW)
    assert watch.overdue(NOW + PATIENCE) == ["ann"]


def test_a_forgotten_session_is_watched_no_more() -> None:
    watch = Watch(ann=TTL, bob=TTL)
    watch.forget("ann")
    assert watch.overdue(NOW + PATIENCE) == ["bob"]


def test_forgetting_a_stranger_is_no_error() -> None:
    watch = Watch(ann=TTL)
    watch.forget("stranger")
    assert watch.overdue(NOW + PATIENCE) == ["ann"]


def test_what_was_never_heard_is_no_session_and_is_not_watched() -> None:
    watch = Watch()
    watch.waits("http-1", TTL, NOW)
    assert watch.next_deadline() is None


def test_several_sessions_can_be_overdue_at_once() -> None:
    assert sorted(Watch(ann=TTL, bob=TTL, cid=10 * TTL).overdue(NOW + PATIENCE)) == ["ann", "bob"]
