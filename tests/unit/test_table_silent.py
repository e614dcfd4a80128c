"""A node that may have forgotten grants: it grants nothing and denies nothing until it serves."""

from __future__ import annotations

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Granted, Lost, Mode, Queued, Recovering, Rejected, Released, Yield
from tests.support.table_cases import (
    KEY,
    NOW,
    WALL,
    Desk,
    each_mode,
    granted_labels,
    only,
    session_of,
    token_of,
)


def silent() -> Desk:
    desk = Desk()
    desk.table.silent = True
    return desk


@each_mode
def test_one_who_waits_keeps_a_place_and_is_granted_when_the_silence_ends(mode: Mode) -> None:
    desk = silent()
    assert only(Recovering, desk.acquire("ann", mode=mode)).token == token_of("ann")
    assert desk.line() == ["ann"]
    outbox = desk.table.serve([], 0, desk.now)
    assert granted_labels(desk, outbox) == ["ann"]
    assert not only(Granted, outbox).resent


def test_one_who_does_not_wait_is_told_neither_yes_nor_no_and_leaves_nothing() -> None:
    desk = silent()
    only(Recovering, desk.acquire("ann", wait=False))
    assert (desk.table.waiter_count, desk.table.lease_count) == (0, 0)


def test_places_are_granted_in_the_order_of_tickets_and_the_others_learn_that_they_wait() -> None:
    desk = silent()
    desk.acquire("bob", ticket=WALL + 2)
    desk.acquire("ann", ticket=WALL + 1)
    outbox = desk.table.serve([], 0, desk.now)
    assert [(to, type(answer)) for to, answer in outbox] == [(session_of("ann"), Granted), (session_of("bob"), Queued)]
    assert [holder.label for holder in outbox[1][1].holders] == ["ann"]  # type: ignore[union-attr]


def test_renewals_raises_and_yields_are_never_answered_lost() -> None:
    desk = silent()
    only(Recovering, desk.renew("ann"))
    only(Recovering, desk.raise_to("ann", 7))
    only(Recovering, desk.ask("ann", Yield(token_of("ann"), (1, 1))))
    desk.table.serve([], 0, desk.now)
    only(Lost, desk.renew("ann"))


def test_a_repeated_acquire_is_answered_alike() -> None:
    desk = silent()
    desk.acquire("ann", ticket=WALL)
    only(Recovering, desk.acquire("ann", ticket=WALL))
    assert desk.line() == ["ann"]


def test_a_release_takes_the_place_out_of_the_line() -> None:
    desk = silent()
    desk.acquire("ann")
    only(Released, desk.release("ann"))
    assert desk.table.serve([], 0, desk.now) == []


def test_the_end_of_a_session_takes_its_places_out_of_the_line() -> None:
    desk = silent()
    desk.acquire("ann")
    desk.table.end_session(session_of("ann"), desk.now)
    assert desk.table.serve([], 0, desk.now) == []


def test_limits_hold_in_the_silence_too() -> None:
    desk = silent()
    assert only(Rejected, desk.acquire("ann", ttl=0)).code == "ttl"


def test_a_name_that_only_waits_is_not_forgotten_while_the_silence_lasts() -> None:
    desk = silent()
    desk.acquire("ann", ttl=600 * MICROSECONDS)
    desk.wait(1_000)
    assert desk.line() == ["ann"]


def test_fences_exceed_the_floor_also_for_those_who_waited() -> None:
    desk = silent()
    desk.acquire("ann", ticket=WALL)
    granted = only(Granted, desk.table.serve([], WALL + 100, NOW))
    assert granted.fence == WALL + 101
    assert desk.table.largest_ticket == WALL + 101
    assert desk.table.locks[KEY].last_fence == WALL + 101
