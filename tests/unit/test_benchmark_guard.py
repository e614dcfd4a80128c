"""The speed guard's verdict: it can fail, and it does not fail for one bad attempt."""

from __future__ import annotations

import pytest

from tests.benchmarks.guard import MARGINS, Attempt, Margin, broken, sentences

LOW = Margin("cost", 2.0)
HIGH = Margin("rate", 4.0, at_least=True)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([{LOW: 1.9, HIGH: 4.1}], []),
        ([{LOW: 2.0, HIGH: 4.0}], []),
        ([{LOW: 2.1, HIGH: 4.1}], [LOW]),
        ([{LOW: 1.9, HIGH: 3.9}], [HIGH]),
        ([{LOW: 9.0, HIGH: 0.1}], [LOW, HIGH]),
    ],
)
def test_a_ratio_beyond_its_limit_breaks_its_margin(attempts: list[Attempt], expected: list[Margin]) -> None:
    assert broken([LOW, HIGH], attempts) == expected


def test_one_good_attempt_of_three_is_enough() -> None:
    assert broken([LOW, HIGH], [{LOW: 5.0, HIGH: 1.0}, {LOW: 1.5, HIGH: 1.0}, {LOW: 5.0, HIGH: 8.0}]) == []


def test_no_good_attempt_breaks_the_margin_however_many_there_were() -> None:
    assert broken([LOW], [{LOW: 5.0}, {LOW: 2.5}, {LOW: 3.0}]) == [LOW]


def test_what_was_not_measured_is_not_broken_and_is_said() -> None:
    assert broken([HIGH], [{LOW: 1.0}]) == []
    assert sentences([HIGH], [{LOW: 1.0}]) == ["not measured  rate, at least 4"]


def test_a_verdict_tells_the_best_ratio_and_its_limit() -> None:
    lines = sentences([LOW, HIGH], [{LOW: 3.0, HIGH: 1.0}, {LOW: 2.5, HIGH: 6.0}])
    assert lines == [
        "BROKEN  cost: 2.50, at most 2 (best of 2 attempts)",
        "kept    rate: 6.00, at least 4 (best of 2 attempts)",
    ]


def test_every_margin_of_the_guard_can_break() -> None:
    slow = {margin: margin.limit * (0.9 if margin.at_least else 1.1) for margin in MARGINS}
    assert broken(MARGINS, [slow, slow, slow]) == list(MARGINS)
