"""Circuit breakers of hosts: which are skipped, for how long, and when they are asked again."""

from __future__ import annotations

import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager.failover import FIRST_PAUSE, LONGEST_PAUSE, Breakers

HOSTS = ("host1", "host2", "host3")
NOW = 5_000


def test_the_preference_list_is_kept_while_every_host_works() -> None:
    assert Breakers(HOSTS).order(reversed(HOSTS), NOW) == ["host3", "host2", "host1"]


def test_a_host_that_failed_is_skipped_for_a_second() -> None:
    breakers = Breakers(HOSTS)
    breakers.failed("host1", NOW)
    assert breakers.order(HOSTS, NOW + MICROSECONDS - 1) == ["host2", "host3"]
    assert breakers.order(HOSTS, NOW + MICROSECONDS) == list(HOSTS)


def test_a_host_that_fails_again_is_skipped_twice_as_long_each_time_up_to_half_a_minute() -> None:
    breakers, now, pauses = Breakers(HOSTS), NOW, []
    for _ in range(7):
        breakers.failed("host1", now)
        pauses.append(next(s for s in range(1, 60) if "host1" in breakers.order(HOSTS, now + s * MICROSECONDS)))
        now += pauses[-1] * MICROSECONDS
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_host_that_failed_very_often_is_still_asked_after_half_a_minute() -> None:
    breakers = Breakers(HOSTS)
    for _ in range(500):
        breakers.failed("host1", NOW)
    assert breakers.order(HOSTS, NOW + LONGEST_PAUSE) == list(HOSTS)


def test_a_host_that_works_is_asked_at_once_and_its_failures_are_forgotten() -> None:
    breakers = Breakers(HOSTS)
    for _ in range(3):
        breakers.failed("host1", NOW)
    breakers.works("host1")
    assert breakers.order(HOSTS, NOW) == list(HOSTS)
    breakers.failed("host1", NOW)
    assert breakers.order(HOSTS, NOW + FIRST_PAUSE) == list(HOSTS)


def test_all_hosts_are_asked_when_all_failed() -> None:
    breakers = Breakers(HOSTS)
    for host in HOSTS:
        breakers.failed(host, NOW)
    assert breakers.order(HOSTS, NOW) == list(HOSTS)


def test_the_failure_of_one_host_does_not_touch_another() -> None:
    breakers = Breakers(HOSTS)
    breakers.failed("host2", NOW)
    assert breakers.order(HOSTS, NOW) == ["host1", "host3"]


@pytest.mark.parametrize("verb", ["failed", "works"])
def test_a_list_without_the_host_concerned_stays_what_it_is(verb: str) -> None:
    breakers = Breakers(HOSTS)
    breakers.failed("host1", NOW) if verb == "failed" else breakers.works("host1")
    assert breakers.order(["host3", "host2"], NOW) == ["host3", "host2"]
