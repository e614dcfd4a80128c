"""Time: whole microseconds, the numbers of drift and heartbeat, and clocks that do not go back."""

from __future__ import annotations

import math
import time

import pytest

from lockmanager.clock import Clock, SystemClock
from lockmanager.durations import (
    HEARTBEAT_LIMIT,
    MICROSECONDS,
    SILENT_HEARTBEATS,
    drift,
    heartbeat,
    microseconds,
    seconds,
)


@pytest.mark.parametrize(("duration", "whole"), [(1, 1_000_000), (0.1, 100_000), (2.5e-6, 2), (0, 0), (-1, -1_000_000)])
def test_seconds_become_whole_microseconds(duration: float, whole: int) -> None:
    assert microseconds(duration) == whole
    assert isinstance(microseconds(duration), int)


@pytest.mark.parametrize("duration", [math.nan, math.inf, -math.inf])
def test_no_duration_is_nan_or_infinite(duration: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        microseconds(duration)


@pytest.mark.parametrize("whole", [0, 1, 123_456, 30 * 24 * 3600 * MICROSECONDS + 1])
def test_microseconds_survive_the_way_to_seconds_and_back(whole: int) -> None:
    assert microseconds(seconds(whole)) == whole


@pytest.mark.parametrize(
    ("ttl", "allowance"),
    [(0, 2_000), (100_000, 3_000), (1_000_000, 12_000), (30_000_000, 302_000)],
)
def test_drift_is_a_hundredth_of_the_ttl_and_two_milliseconds(ttl: int, allowance: int) -> None:
    assert drift(ttl) == allowance


@pytest.mark.parametrize(
    ("ttl", "silence"), [(100_000, 20_000), (1_000_000, 200_000), (5_000_000, 1_000_000), (30_000_000, 1_000_000)]
)
def test_a_heartbeat_is_a_fifth_of_the_ttl_and_at_most_a_second(ttl: int, silence: int) -> None:
    assert heartbeat(ttl) == silence
    assert heartbeat(ttl) <= HEARTBEAT_LIMIT


def test_three_missed_heartbeats_fit_into_the_ttl_with_time_to_spare() -> None:
    for ttl in (100_000, 1_000_000, 5_000_000, 30_000_000):
        assert SILENT_HEARTBEATS * heartbeat(ttl) < ttl - drift(ttl)


def test_the_steady_clock_never_goes_back() -> None:
    clock: Clock = SystemClock()
    readings = [clock.now() for _ in range(1_000)]
    assert readings == sorted(readings)
    assert all(isinstance(reading, int) for reading in readings)


def test_the_steady_clock_counts_suspend_where_the_machine_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock_id: clock_id * 1_000_000)
    monkeypatch.setattr(SystemClock, "_clock_id", 7)
    assert SystemClock().now() == 7_000


def test_the_steady_clock_falls_back_to_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5_000_999)
    monkeypatch.setattr(SystemClock, "_clock_id", None)
    assert SystemClock().now() == 5_000


def test_the_wall_clock_counts_microseconds_since_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)
    assert SystemClock().wall() == 1_700_000_000_123_456
