"""What `lockmanager bench` counts, and the figures that follow."""

from __future__ import annotations

import pytest

from lockmanager.cli.bench.figures import (
    Alone,
    Crowd,
    Figures,
    Line,
    Queue,
    RoundTrip,
    Span,
    alone_from,
    crowd_from,
    percentile,
    queue_from,
    round_trip_from,
)


def figures(*, alone: int = 1, crowd: int = 1, queue: int = 1) -> Figures:
    return Figures(Alone(alone, 1.0, 1.0), Crowd(crowd, 1.0, 1.0), Queue(queue, 1.0, 1.0, 1.0, 0), ())


def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0], 0.99) == 3.0


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile([], 0.5) is None


def test_a_line_served_in_order_has_no_overtakings() -> None:
    line = Line()
    for number in [line.ask(float(second)) for second in range(3)]:
        line.granted(number, 10.0)
    assert line.waits == [10.0, 9.0, 8.0]
    assert line.overtakings == 0


def test_each_grant_before_one_that_asked_earlier_is_an_overtaking() -> None:
    line = Line()
    for number in reversed([line.ask(0.0) for _ in range(3)]):
        line.granted(number, 1.0)
    assert line.overtakings == 2


def test_somebody_who_asks_again_goes_to_the_end() -> None:
    line = Line()
    first, second = line.ask(0.0), line.ask(0.0)
    line.granted(first, 1.0)
    assert line.overtakings == 0
    line.granted(line.ask(1.0), 2.0)
    assert line.overtakings == 1
    line.granted(second, 3.0)
    assert line.overtakings == 1


def test_whoever_still_waits_longest_of_all_counts_as_far_as_it_got() -> None:
    line = Line()
    line.granted(line.ask(0.0), 2.0)
    line.ask(3.0)
    line.ask(4.0)
    line.settle(10.0)
    assert line.waits == [2.0, 7.0]


def test_whoever_waits_no_longer_than_others_did_is_not_counted_at_the_end() -> None:
    line = Line()
    line.granted(line.ask(0.0), 2.0)
    line.ask(9.0)
    line.settle(10.0)
    assert line.waits == [2.0]


def test_a_line_in_which_nobody_waits_is_settled_as_it_is() -> None:
    line = Line()
    line.settle(10.0)
    assert line.waits == []


def test_one_worker_has_a_median_and_a_slowest_hundredth() -> None:
    assert alone_from([float(number) for number in range(1, 201)]) == Alone(200, 100.0, 198.0)
    assert alone_from([]) == Alone(0, None, None)


def test_a_crowd_is_counted_per_second_and_its_cpu_per_cycle() -> None:
    assert crowd_from(100, Span(elapsed=4.0, cpu=2.0)) == Crowd(100, 25.0, 0.02)


def test_a_crowd_in_which_nothing_ended_has_no_cpu_per_cycle() -> None:
    assert crowd_from(0, Span(elapsed=4.0, cpu=2.0)) == Crowd(0, 0.0, None)


def test_a_span_without_length_has_no_rate() -> None:
    assert crowd_from(3, Span(elapsed=0.0, cpu=0.0)).per_second == 0.0


def test_a_queue_tells_its_hand_overs_its_waits_and_its_overtakings() -> None:
    line = Line()
    first, second = line.ask(0.0), line.ask(0.0)
    line.granted(second, 1.0)
    line.granted(first, 2.0)
    line.granted(line.ask(2.0), 9.0)
    assert queue_from(3, line, Span(elapsed=10.0, cpu=1.0)) == Queue(3, 0.3, 2.0, 7.0, 1)


def test_a_queue_in_which_nobody_was_served_has_no_waits() -> None:
    assert queue_from(0, Line(), Span(elapsed=10.0, cpu=1.0)) == Queue(0, 0.0, None, None, 0)


def test_a_round_trip_is_the_median_of_its_pings_and_the_fastest() -> None:
    assert round_trip_from("node1", "u", [3.0, 1.0, 2.0], None) == RoundTrip("node1", "u", 2.0, 1.0, None)


def test_a_node_that_stops_answering_has_no_round_trip() -> None:
    assert round_trip_from("node1", "u", [3.0], "it is gone") == RoundTrip("node1", "u", None, None, "it is gone")


@pytest.mark.parametrize("part", ["alone", "crowd", "queue"])
def test_a_part_in_which_nothing_ended_is_empty(part: str) -> None:
    assert figures().empty == ()
    assert figures(**{part: 0}).empty == (part,)
