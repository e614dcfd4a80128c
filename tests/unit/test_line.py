"""The line of one lock: order by ticket and token, and leaving it."""

from __future__ import annotations

import random

import pytest

from lockmanager.wire import Mode, Token
from lockmanager_node.line import Line, Waiter
from tests.support.table_cases import KEY, TTL, token_of


def waiter(ticket: int, who: str = "ann") -> Waiter:
    return Waiter(token_of(who), KEY, "session", who, ticket, TTL, Mode.EXCLUSIVE)


def line_of(*waiters: Waiter) -> Line:
    line = Line()
    for one in waiters:
        line.add(one)
    return line


def test_an_empty_line_has_no_head() -> None:
    assert (line_of().head, len(line_of())) == (None, 0)


def test_the_smallest_ticket_stands_first_whenever_it_came() -> None:
    tickets = list(range(1, 51))
    random.Random(42).shuffle(tickets)
    line = line_of(*map(waiter, tickets))
    assert [one.ticket for one in line] == sorted(tickets)
    assert line.head is not None
    assert line.head.ticket == 1


def test_equal_tickets_are_ordered_by_token() -> None:
    assert [one.label for one in line_of(waiter(5, "cid"), waiter(5, "ann"), waiter(5, "bob"))] == ["ann", "bob", "cid"]


def test_leaving_takes_out_that_waiter_alone() -> None:
    first, second, third = (waiter(n) for n in (1, 2, 3))
    line = line_of(third, first, second)
    line.remove(second)
    assert list(line) == [first, third]
    assert len(line) == 2


def test_the_next_one_becomes_head_when_the_head_leaves() -> None:
    first, second = waiter(1), waiter(2)
    line = line_of(first, second)
    line.remove(first)
    assert line.head is second


def test_a_waiter_that_stands_elsewhere_cannot_be_removed() -> None:
    line = line_of(waiter(1), waiter(3))
    for stranger in (waiter(2), waiter(4), waiter(1)):
        with pytest.raises(ValueError, match="does not stand in this line"):
            line.remove(stranger)
    assert len(line) == 2


def test_neither_a_waiter_nor_the_complaint_about_it_shows_its_token_or_owner() -> None:
    secret = Waiter(Token("S" * 32), KEY, "hidden-session", "ann", 1, TTL, Mode.EXCLUSIVE)
    with pytest.raises(ValueError, match="label='ann'") as complaint:
        line_of().remove(secret)
    for text in (repr(secret), str(complaint.value)):
        assert "SSSS" not in text
        assert "hidden-session" not in text
