"""Hand-over: the head of the line is granted in the very step that frees the lock; nobody barges in."""

from __future__ import annotations

import random

import pytest

from lockmanager.wire import Granted, Mode, Queued
from tests.support.table_cases import EXCLUSIVE, SHARED, TTL, WALL, Desk, each_mode, granted_labels, only, told


def waiting(*people: tuple[str, Mode]) -> Desk:
    """Return a desk where `holder` has the lock and these people wait in this order."""
    desk = Desk()
    desk.acquire("holder")
    for who, mode in people:
        desk.acquire(who, mode=mode)
    return desk


@each_mode
def test_a_release_grants_the_head_in_the_same_step(mode: Mode) -> None:
    desk = waiting(("ann", mode), ("bob", EXCLUSIVE))
    outbox = desk.release("holder")
    assert granted_labels(desk, outbox) == ["ann"]
    assert isinstance(told("ann", outbox)[0], Granted)


@each_mode
def test_an_expiry_grants_the_head_in_the_same_step(mode: Mode) -> None:
    desk = waiting(("ann", mode), ("bob", EXCLUSIVE))
    assert granted_labels(desk, desk.wait(10)) == ["ann"]
    assert desk.lease("ann").deadline == desk.now + TTL


@each_mode
def test_a_waiter_that_leaves_lets_the_next_ones_through_in_the_same_step(mode: Mode) -> None:
    desk = Desk()
    desk.acquire("reader", mode=SHARED)
    desk.acquire("writer")
    desk.acquire("ann", mode=mode)
    assert granted_labels(desk, desk.release("writer")) == (["ann"] if mode is SHARED else [])


def test_fifty_waiters_are_granted_in_the_order_of_their_tickets_however_they_came() -> None:
    desk, order = Desk(), list(range(1, 51))
    random.Random(7).shuffle(order)
    desk.acquire("holder", ticket=WALL)
    for n in order:
        desk.acquire(f"p{n}", ticket=WALL + n)
    holder, served = "holder", []
    while labels := granted_labels(desk, desk.release(holder)):
        (holder,) = labels
        served.append(holder)
    assert served == [f"p{n}" for n in range(1, 51)]


def test_equal_tickets_are_served_by_token() -> None:
    desk = Desk()
    desk.acquire("holder", ticket=WALL)
    for who in ("cid", "ann", "bob"):
        desk.acquire(who, ticket=WALL + 1)
    assert desk.line() == ["ann", "bob", "cid"]


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    desk = waiting(("ann", EXCLUSIVE))
    desk.release("holder")
    only(Queued, desk.acquire("bob"))


def test_a_newcomer_at_the_instant_of_expiry_does_not_overtake_those_who_wait() -> None:
    desk = waiting(("ann", EXCLUSIVE))
    desk.now += TTL
    outbox = desk.acquire("bob")
    assert [type(answer) for answer in told("ann", outbox)] == [Granted]
    assert [type(answer) for answer in told("bob", outbox)] == [Queued]


def test_readers_next_to_each_other_are_granted_together() -> None:
    desk = waiting(("ann", SHARED), ("bob", SHARED), ("cid", EXCLUSIVE), ("dan", SHARED))
    assert granted_labels(desk, desk.release("holder")) == ["ann", "bob"]
    assert desk.line() == ["cid", "dan"]


def test_a_writer_waits_for_the_last_reader() -> None:
    desk = waiting(("ann", SHARED), ("bob", SHARED), ("cid", EXCLUSIVE), ("dan", SHARED))
    desk.release("holder")
    assert granted_labels(desk, desk.release("ann")) == []
    assert granted_labels(desk, desk.release("bob")) == ["cid"]
    assert granted_labels(desk, desk.release("cid")) == ["dan"]


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_readers_and_writers_gets_stuck(seed: int) -> None:
    chance = random.Random(seed)
    desk = waiting(*((f"p{n}", chance.choice(list(Mode))) for n in range(30)))
    served = 0
    inside = ["holder"]
    while inside:
        who = inside.pop(chance.randrange(len(inside)))
        entered = granted_labels(desk, desk.release(who))
        served += len(entered)
        inside += entered
    assert (served, desk.line()) == (30, [])


def test_one_hand_over_tells_only_the_two_concerned() -> None:
    desk = waiting(*((f"p{n}", EXCLUSIVE) for n in range(50)))
    assert len(desk.release("holder")) == 2
