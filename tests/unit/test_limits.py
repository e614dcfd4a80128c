"""The limits of a node: what is just allowed, what is just too much, and that the text names the field."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from lockmanager import topology
from lockmanager.durations import microseconds
from lockmanager.wire import Space, Token
from lockmanager_node.limits import (
    LARGEST_FENCE,
    Limits,
    check_acquire,
    check_fence,
    check_label,
    check_name,
    check_session_space,
    check_ticket,
    check_token,
    check_ttl,
)
from tests.support.table_cases import WALL, acquire

DAY = microseconds(24 * 3600)
LIMITS = Limits()


@pytest.mark.parametrize("name", ["a", "/", "..", "orders/42", "x" * 255, "é" * 127, "🔒" * 63, "\x00", " "])
def test_any_utf8_of_1_to_255_bytes_is_a_name(name: str) -> None:
    assert check_name(name, LIMITS) is None


@pytest.mark.parametrize(("name", "size"), [("", 0), ("x" * 256, 256), ("é" * 128, 256)])
def test_an_empty_or_long_name_is_refused_with_its_size_in_bytes(name: str, size: int) -> None:
    excess = check_name(name, LIMITS)
    assert excess is not None
    assert excess.code == "name"
    assert f"this one has {size}" in excess.detail


@pytest.mark.parametrize("label", ["", "ann@host:42", "x" * 128, "é" * 64])
def test_a_label_may_have_up_to_128_bytes(label: str) -> None:
    assert check_label(label, LIMITS) is None


@pytest.mark.parametrize(("label", "size"), [("x" * 129, 129), ("é" * 65, 130)])
def test_a_longer_label_is_refused_with_its_size_in_bytes(label: str, size: int) -> None:
    excess = check_label(label, LIMITS)
    assert excess is not None
    assert excess.code == "label"
    assert f"this one has {size}" in excess.detail


def test_a_lone_surrogate_is_no_name_and_no_label() -> None:
    for check, code in ((check_name, "name"), (check_label, "label")):
        excess = check("\ud800", LIMITS)
        assert excess is not None
        assert excess.code == code
        assert "not valid UTF-8" in excess.detail


@pytest.mark.parametrize("ttl", [microseconds(0.1), microseconds(10), 30 * DAY])
def test_a_ttl_may_be_a_tenth_of_a_second_to_30_days(ttl: int) -> None:
    assert check_ttl(ttl, LIMITS) is None


@pytest.mark.parametrize("ttl", [-1, 0, microseconds(0.1) - 1, 30 * DAY + 1])
def test_any_other_ttl_is_refused_in_seconds(ttl: int) -> None:
    excess = check_ttl(ttl, LIMITS)
    assert excess is not None
    assert excess.code == "ttl"
    assert "0.1 s to 2.592e+06 s" in excess.detail


@pytest.mark.parametrize("ticket", [1, WALL - DAY, WALL, WALL + DAY])
def test_a_ticket_may_be_a_day_ahead_and_any_time_behind(ticket: int) -> None:
    assert check_ticket(ticket, LIMITS, WALL) is None


def test_a_ticket_more_than_a_day_ahead_is_refused_and_blames_the_clock() -> None:
    excess = check_ticket(WALL + DAY + 1, LIMITS, WALL)
    assert excess is not None
    assert excess.code == "ticket"
    assert "86400 s ahead of this node's wall clock" in excess.detail


def test_a_ticket_beyond_53_bits_is_refused_whatever_the_clock_says() -> None:
    assert check_ticket(LARGEST_FENCE, LIMITS, LARGEST_FENCE) is None
    assert check_ticket(LARGEST_FENCE + 1, LIMITS, LARGEST_FENCE) is not None


@pytest.mark.parametrize("ticket", [0, -5])
def test_a_ticket_is_positive(ticket: int) -> None:
    excess = check_ticket(ticket, LIMITS, WALL)
    assert excess is not None
    assert (excess.code, str(ticket) in excess.detail) == ("ticket", True)


@pytest.mark.parametrize(
    ("fence", "allowed"),
    [(0, False), (1, True), (WALL + 2 * DAY, True), (WALL + 2 * DAY + 1, False), (LARGEST_FENCE, False)],
)
def test_a_fence_is_positive_and_at_most_two_days_ahead_of_the_wall_clock(fence: int, allowed: bool) -> None:
    excess = check_fence(fence, LIMITS, WALL)
    assert (excess is None) is allowed
    assert excess is None or excess.code == "fence"


@pytest.mark.parametrize(
    ("fence", "said"), [(-1, "this one is -1"), (WALL + 3 * DAY, "259200 s ahead"), (10**400, "set the clocks")]
)
def test_a_fence_that_is_refused_is_named(fence: int, said: str) -> None:
    excess = check_fence(fence, LIMITS, WALL)
    assert excess is not None
    assert said in excess.detail


def test_a_fence_fits_53_bits_whatever_the_clock_says() -> None:
    assert check_fence(LARGEST_FENCE, LIMITS, LARGEST_FENCE) is None
    assert check_fence(LARGEST_FENCE + 1, LIMITS, LARGEST_FENCE) is not None


@pytest.mark.parametrize("token", ["", "a" * 31, "a" * 33, "a" * 31 + "-", "a" * 31 + "é", "a" * 31 + "\n"])
def test_a_malformed_token_is_refused_without_being_shown(token: str) -> None:
    excess = check_token(token)
    assert excess is not None
    assert excess.code == "token"
    assert "aaa" not in excess.detail


def test_a_token_is_32_digits_and_letters() -> None:
    assert check_token("09azAZ" + "m" * 26) is None


def test_sessions_may_ask_for_every_space_but_the_nodes_own() -> None:
    assert {space for space in Space if check_session_space(space) is None} == {Space.QUORUM, Space.EFFICIENCY}
    excess = check_session_space(Space.NODE)
    assert excess is not None
    assert excess.code == "space"


def test_a_good_acquire_breaks_no_limit() -> None:
    assert check_acquire(acquire("ann", ticket=WALL), LIMITS, WALL) is None


@pytest.mark.parametrize(
    ("field", "bad"), [("name", ""), ("label", "x" * 129), ("ttl", 0), ("ticket", 0), ("ticket", WALL + 2 * DAY)]
)
def test_an_acquire_is_refused_by_the_field_that_is_wrong(field: str, bad: Any) -> None:
    excess = check_acquire(acquire("ann", **{"ticket": WALL, field: bad}), LIMITS, WALL)
    assert excess is not None
    assert excess.code == field


def test_an_acquire_with_a_malformed_token_is_refused_by_its_token() -> None:
    request = structs.replace(acquire("ann", ticket=WALL), token=Token("too short"))
    excess = check_acquire(request, LIMITS, WALL)
    assert excess is not None
    assert excess.code == "token"


def test_the_limits_of_a_cluster_document_hold_in_the_units_of_the_node() -> None:
    stated = topology.Limits(
        name_bytes=10, label_bytes=20, min_ttl=0.5, max_ttl=60.0, leases=30, waiters=40, ticket_ahead=5.0
    )
    assert Limits.of(stated) == Limits(
        name_bytes=10,
        label_bytes=20,
        min_ttl=500_000,
        max_ttl=60_000_000,
        leases=30,
        waiters=40,
        ticket_ahead=5_000_000,
    )


def test_an_unstated_limit_is_the_same_on_both_sides() -> None:
    assert Limits.of(topology.Limits()) == LIMITS
