"""What the benchmark counts: lines, strikes, percentiles."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.counting import Line, percentile, settle_line, strike_from
from tests.benchmarks.subject import Crowd


def test_a_line_served_in_order_has_no_overtakings() -> None:
    line = Line()
    numbers = [line.ask(float(second)) for second in range(3)]
    assert [line.granted(number, 10.0) for number in numbers] == [10.0, 9.0, 8.0]
    assert line.overtakings == 0


def test_a_grant_before_one_that_asked_earlier_is_an_overtaking() -> None:
    line = Line()
    first, second, third = (line.ask(0.0) for _ in range(3))
    line.granted(third, 1.0)
    line.granted(second, 1.0)
    line.granted(first, 1.0)
    assert line.overtakings == 2


def test_somebody_who_asks_again_goes_to_the_end() -> None:
    line = Line()
    first, second = line.ask(0.0), line.ask(0.0)
    line.granted(first, 1.0)
    again = line.ask(1.0)
    line.granted(again, 2.0)
    assert line.overtakings == 1
    line.granted(second, 3.0)
    assert line.overtakings == 1


def test_whoever_still_waits_longest_of_all_counts_as_far_as_it_got() -> None:
    line, found = Line(), Crowd(waits=[1.0, 2.0])
    line.ask(0.0)
    settle_line(found, line, 7.0)
    assert found.waits == [1.0, 2.0, 7.0]


def test_whoever_waits_no_longer_than_others_did_is_not_counted_at_the_end() -> None:
    line, found = Line(), Crowd(waits=[1.0, 2.0])
    line.ask(6.0)
    settle_line(found, line, 7.0)
    assert found.waits == [1.0, 2.0]


def test_a_strike_tells_rates_before_and_from_a_second_after() -> None:
    before = [number / 10 for number in range(20)]
    after = [2.0 + number / 5 for number in range(1, 21)]
    found = strike_from(0.0, 2.0, 6.0, before + after, failures=3)
    assert found.before == 10.0
    assert found.after == pytest.approx(5.0)
    assert found.longest_stall == pytest.approx(0.2)
    assert found.failures == 3


@pytest.mark.parametrize(
    ("ends", "stall"),
    [([], 4.0), ([2.5], 3.5), ([4.0], 2.0), ([1.9, 5.5], 3.5), ([2.5, 6.5], 3.5)],
    ids=["nothing ended", "nothing after", "in the middle", "nothing at first", "only after the window"],
)
def test_a_stall_is_the_longest_gap_between_signal_and_end(ends: list[float], stall: float) -> None:
    assert strike_from(0.0, 2.0, 6.0, ends, 0).longest_stall == pytest.approx(stall)


def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0


def test_the_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))
