"""What callers hand in: good input comes through as internal units, bad input is one error naming the field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lockmanager.checks import checked_label, checked_name, checked_ttl, checked_wait
from lockmanager.errors import RequestRejected
from lockmanager.topology import Limits

LIMITS = Limits()
SURROGATE = "broken \ud800 text"


@pytest.mark.parametrize("name", ["a", "orders/42", "../..", " ", "\0", "☃" * 85, "x" * 255])
def test_a_name_is_1_to_255_bytes_of_any_text(name: str) -> None:
    assert checked_name(name, LIMITS) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "has 0"),
        ("x" * 256, "has 256"),
        ("☃" * 86, "has 258"),
        (SURROGATE, "lone surrogate"),
        (b"orders", "got bytes"),
        (None, "got NoneType"),
        (42, "got int"),
    ],
)
def test_a_bad_name_is_rejected_and_the_reason_named(name: Any, text: str) -> None:
    with pytest.raises(RequestRejected, match=text) as caught:
        checked_name(name, LIMITS)
    assert caught.value.code == "name"


@pytest.mark.parametrize("label", ["", "ann", "x" * 128, "☃" * 42])
def test_a_label_is_up_to_128_bytes_of_any_text(label: str) -> None:
    assert checked_label(label, LIMITS) == label


@pytest.mark.parametrize(
    ("label", "text"),
    [("x" * 129, "has 129"), ("☃" * 43, "has 129"), (SURROGATE, "lone surrogate"), (None, "got NoneType")],
)
def test_a_bad_label_is_rejected_and_the_reason_named(label: Any, text: str) -> None:
    with pytest.raises(RequestRejected, match=text) as caught:
        checked_label(label, LIMITS)
    assert caught.value.code == "label"


@pytest.mark.parametrize(
    ("ttl", "micros"),
    [(0.1, 100_000), (1, 1_000_000), (10.0, 10_000_000), (2.5, 2_500_000), (2_592_000, 2_592_000_000_000)],
)
def test_a_ttl_in_seconds_becomes_microseconds(ttl: float, micros: int) -> None:
    assert checked_ttl(ttl, LIMITS) == micros


NO_NUMBERS = [None, "10", b"10", [10], Decimal(10), True, False]
NOT_FINITE = [float("nan"), float("inf"), float("-inf"), 10**400]


@pytest.mark.parametrize("ttl", [0, 0.0, 0.09, -1, 2_592_000.001, 1e300, *NOT_FINITE, *NO_NUMBERS], ids=repr)
def test_a_bad_ttl_is_rejected(ttl: Any) -> None:
    with pytest.raises(RequestRejected) as caught:
        checked_ttl(ttl, LIMITS)
    assert caught.value.code == "ttl"


def test_a_ttl_over_the_limit_is_told_the_limits() -> None:
    with pytest.raises(RequestRejected, match=r"0\.1 s to 2\.592e\+06 s; got 3e\+06"):
        checked_ttl(3_000_000, LIMITS)


def test_the_limits_are_those_of_the_cluster() -> None:
    limits = Limits(name_bytes=3, label_bytes=2, min_ttl=1, max_ttl=2)
    for check, bad in ((checked_name, "long"), (checked_label, "ann"), (checked_ttl, 0.5), (checked_ttl, 2.5)):
        with pytest.raises(RequestRejected):
            check(bad, limits)


@pytest.mark.parametrize(("wait", "micros"), [(None, None), (0, 0), (0.0, 0), (1.5, 1_500_000), (10**6, 10**12)])
def test_a_wait_is_for_ever_or_a_number_of_seconds(wait: float | None, micros: int | None) -> None:
    assert checked_wait(wait) == micros


@pytest.mark.parametrize("wait", [-1, -0.001, *NOT_FINITE, *[one for one in NO_NUMBERS if one is not None]], ids=repr)
def test_a_bad_wait_is_rejected(wait: Any) -> None:
    with pytest.raises(RequestRejected) as caught:
        checked_wait(wait)
    assert caught.value.code == "wait"


def test_a_wait_that_no_number_of_microseconds_tells_is_rejected() -> None:
    assert checked_wait(1e302) == round(1e308)
    with pytest.raises(RequestRejected, match=r"a wait of 1e\+303 s cannot be counted in microseconds") as caught:
        checked_wait(1e303)
    assert caught.value.code == "wait"


def test_a_huge_value_of_the_wrong_kind_is_quoted_in_short() -> None:
    with pytest.raises(RequestRejected) as caught:
        checked_ttl("9" * 100_000, LIMITS)
    assert len(str(caught.value)) < 300
