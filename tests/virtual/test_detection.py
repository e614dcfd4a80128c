"""Each thing that is looked at is found missing when it is missing: the library is spoilt in one place at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from lockmanager import LockManagerError, NotAcquired, acquiring, coordinator
from lockmanager.channel import Channel
from lockmanager.confirmations import Confirmations
from lockmanager.discovery import ClusterDocuments
from lockmanager.engine import Engine
from lockmanager.run import Run
from lockmanager.transport import WebSocketConnector, _WebSocketConnection
from lockmanager_node.lock import Lock
from lockmanager_node.service import Service
from tests.virtual.contest import contest
from tests.virtual.findings import CHECKS
from tests.virtual.striking import Blow, Case, play

FOR_EVER = 1_000.0

Spoil = Callable[[pytest.MonkeyPatch], None]
CALLS: dict[str, tuple[Spoil, Case]] = {}
CONTESTS: dict[str, Spoil] = {}


def _found_in(verb: str, check: str, blow: str = "s0") -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        CALLS[check] = spoil, Case(verb, 1, blow=Blow.parse(blow))
        return spoil

    return add


def _found_in_contests(check: str) -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        CONTESTS[check] = spoil
        return spoil

    return add


def _begins_with(patch: pytest.MonkeyPatch, also: Callable[[Run], object]) -> None:
    """Let every acquisition begin with something more."""
    begin = Run.begin

    def spoilt(run: Run) -> None:
        also(run)
        begin(run)

    patch.setattr(Run, "begin", spoilt)


async def _closes_nothing(_: object) -> None:
    pass


@_found_in("release", "it ends")
def _a_release_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    async def spoilt(*_: Any) -> None:
        await asyncio.sleep(FOR_EVER)

    patch.setattr(Confirmations, "wait", spoilt)


@_found_in("release", "the run comes to its end")
def _nothing_comes_to_an_end(patch: pytest.MonkeyPatch) -> None:
    _a_release_waits_for_ever(patch)


@_found_in("release", "the cancellation arrives", "s1")
def _a_cancellation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    wait = Confirmations.wait

    async def spoilt(*arguments: Any) -> bool:
        with suppress(asyncio.CancelledError):
            return await wait(*arguments)
        return False

    patch.setattr(Confirmations, "wait", spoilt)


@_found_in("release", "nobody else cancels")
def _a_cancellation_comes_from_inside(patch: pytest.MonkeyPatch) -> None:
    async def spoilt(*_: Any) -> bool:
        raise asyncio.CancelledError

    patch.setattr(Confirmations, "wait", spoilt)


@_found_in("acquire", "errors are the library's")
def _a_fault_gets_out(patch: pytest.MonkeyPatch) -> None:
    def fails(_: Run) -> None:
        raise KeyError("a fault")

    _begins_with(patch, fails)


@_found_in("acquire with two nodes down", "it ends as always")
def _an_error_is_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    def spoilt(run: Run, wish: acquiring.Wish) -> LockManagerError:
        return NotAcquired(wish.name, held_by=(), answers={})

    patch.setattr(acquiring, "_unavailable", spoilt)


@_found_in("open by one node's URL", "nothing logged as an error")
def _a_client_session_is_left_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClusterDocuments, "close", _closes_nothing)


@_found_in("acquire", "nothing is left on any node", "s1late")
def _the_cancelled_release_nothing(patch: pytest.MonkeyPatch) -> None:
    release = Run.release

    def spoilt(run: Run, reason: str = "it was released") -> None:
        if "cancelled" not in reason:
            release(run, reason)

    patch.setattr(Run, "release", spoilt)


@_found_in("release", "another gets the lock")
def _a_release_is_kept_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "release", lambda *_: None)


@_found_in("acquire", "nothing is left in a client")
def _a_run_is_not_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "leave", Engine.strike)


@_found_in("acquire", "no task is left")
def _a_task_goes_on(patch: pytest.MonkeyPatch) -> None:
    kept = []
    _begins_with(patch, lambda _: kept.append(asyncio.create_task(asyncio.sleep(FOR_EVER))))


@_found_in("open and close", "no task is left at the end")
def _a_task_goes_on_for_ever(patch: pytest.MonkeyPatch) -> None:
    _a_task_goes_on(patch)


@_found_in("acquire", "no timer is left at the end")
def _a_timer_is_left(patch: pytest.MonkeyPatch) -> None:
    _begins_with(patch, lambda _: asyncio.get_running_loop().call_later(FOR_EVER, print))


@_found_in("open and close", "no connection is left")
def _a_connection_is_left_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_WebSocketConnection, "close", _closes_nothing)
    patch.setattr(WebSocketConnector, "close", _closes_nothing)


@_found_in("open and close", "no session is left")
def _a_node_does_not_notice_the_end_of_a_session(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Service, "disconnect", lambda *_: None)


@_found_in("close", "no task outlives the close")
def _channels_outlive_their_engine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "close", _closes_nothing)
    patch.setattr(WebSocketConnector, "close", _closes_nothing)


@_found_in("close with a lease and a waiter", "who waits learns of the close")
def _who_waits_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "abandon", Run.release)


@_found_in("close with a lease and a waiter", "a holder learns of the close")
def _who_holds_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    _who_waits_is_forgotten(patch)


@_found_in("renew", "nobody waits for the renewal", "s1")
def _who_renewed_waits_on(patch: pytest.MonkeyPatch) -> None:
    async def spoilt(run: Run, ttl: int) -> None:
        run._renewal_watchers[asyncio.Event()] = run.acquisition.ballot.renewals_answered()
        await asyncio.sleep(1)

    patch.setattr(Run, "renewed", spoilt)


@_found_in_contests("exclusion, and fences that rise")
def _nodes_grant_to_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lock, "_admits", lambda *_: True)


@_found_in_contests("everybody gets the lock in the end")
def _who_lost_its_nodes_does_not_come_back(patch: pytest.MonkeyPatch) -> None:
    async def spoilt(channel: Channel) -> None:
        await channel._one_session()
        channel._set_link(channel.link.DOWN, "gone for good")

    patch.setattr(Channel, "run", spoilt)


@_found_in_contests("nothing is lost once all is well")
def _leases_are_not_renewed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "_on_timer", lambda _: None)


@_found_in_contests("nothing logged as an error")
def _an_error_is_logged(patch: pytest.MonkeyPatch) -> None:
    _begins_with(patch, lambda _: logging.getLogger("lockmanager").error("spoilt"))


def _complain_about(complaints: list[str], check: str) -> bool:
    return any(complaint.startswith(f"{check}: ") for complaint in complaints)


@pytest.mark.parametrize("check", CALLS)
def test_what_is_wrong_with_a_call_is_found(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, case = CALLS[check]
    assert play(case).findings.complaints == []
    spoil(monkeypatch)
    assert _complain_about(play(case).findings.complaints, check)


@pytest.mark.parametrize("check", CONTESTS)
def test_what_is_wrong_in_a_contest_is_found(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CONTESTS[check](monkeypatch)
    assert any(_complain_about(contest(seed).findings.complaints, check) for seed in range(1, 4))


def test_a_close_that_goes_on_behind_its_cancelled_caller_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spoilt(work: Coroutine[Any, Any, None]) -> None:
        await asyncio.shield(work)

    monkeypatch.setattr(coordinator, "to_its_end", spoilt)
    case = Case("close with a lease and a waiter", 1, blow=Blow.parse("s1+1"))
    assert _complain_about(play(case).findings.complaints, "no task outlives the close")


def test_nothing_is_looked_at_that_was_not_shown_to_find_something() -> None:
    looked_at = {check for spoil, case in CALLS.values() for check in play(case).findings.checks}
    assert looked_at == {*CALLS}
    in_contests = {*contest(1).findings.checks} - looked_at
    assert in_contests == {*CONTESTS} - looked_at
    assert looked_at | in_contests == {*CHECKS}
