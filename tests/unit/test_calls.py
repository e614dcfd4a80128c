"""One HTTP request as a recipient of answers: what is left behind when nobody waits for the answer any more."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.wire import Acquire, Granted, Mode, Refused, Release, Released, Renew, Renewed, Space, Token
from lockmanager_node import calls
from lockmanager_node.service import Service
from lockmanager_node.table import Table
from tests.support.node_server import FakeClock, eventually
from tests.support.service_cases import SlowJournal

FIRST, SECOND = Token("1" * 32), Token("2" * 32)
WAIT = 60.0


class Counter:
    """A node's service, and the requests of HTTP clients to it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.service = Service(Table(7), self.clock)
        self.here = True

    def acquire(self, token: Token, wait: float = 0) -> asyncio.Task[object]:
        ticket = self.service.next_ticket()
        wanted = Acquire(token, Space.NODE, "a", ticket, microseconds(10), Mode.EXCLUSIVE, wait > 0, "")
        return asyncio.create_task(calls.acquire(self.service, wanted, wait, gone=lambda: not self.here))

    def stands(self, token: Token) -> bool:
        return self.service.table.lease(token) is not None

    @property
    def waiters(self) -> int:
        return self.service.table.waiter_count


@pytest.fixture
async def counter() -> Counter:
    return Counter()


async def test_a_grant_that_nobody_will_read_is_given_back(counter: Counter) -> None:
    counter.here = False
    await counter.acquire(FIRST)
    assert not counter.stands(FIRST)


async def test_a_call_cancelled_in_line_leaves_the_line(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert counter.waiters == 0


async def test_a_call_cancelled_in_the_tick_of_its_grant_gives_the_lease_back(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    calls.tell(counter.service, Release(FIRST))
    assert counter.stands(SECOND)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not counter.stands(SECOND)


async def test_a_lease_that_a_retry_was_told_of_stands_when_the_first_call_is_cancelled(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    retry = counter.acquire(SECOND, WAIT)
    calls.tell(counter.service, Release(FIRST))
    waiting.cancel()
    waiting_ended = asyncio.gather(waiting, return_exceptions=True)
    answer = await retry
    await waiting_ended
    assert isinstance(answer, Granted)
    assert counter.stands(SECOND)


async def test_a_retry_that_goes_away_does_not_end_the_lease_its_first_call_was_given(counter: Counter) -> None:
    await counter.acquire(FIRST)
    counter.here = False
    await counter.acquire(FIRST)
    assert counter.stands(FIRST)


async def test_a_wait_that_ends_with_the_lease_before_it_leaves_no_lease_behind(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, 0.01)
    await eventually(lambda: counter.waiters == 1)
    counter.clock.advance(10)
    answer = await waiting
    counter.service.expire()
    assert isinstance(answer, Granted) == counter.stands(SECOND)


async def test_a_client_that_leaves_as_the_lease_before_it_ends_is_granted_nothing(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    counter.clock.advance(10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert counter.service.table.lease_count == 0


async def test_a_refusal_at_once_leaves_no_place_in_line(counter: Counter) -> None:
    await counter.acquire(FIRST)
    assert isinstance(await counter.acquire(SECOND), Refused)
    assert counter.waiters == 0


async def test_a_node_that_stops_ends_every_wait(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    counter.service.stop()
    with pytest.raises(calls.Stopping):
        await waiting


async def test_renewing_a_token_that_waits_is_answered_with_nothing(counter: Counter) -> None:
    await counter.acquire(FIRST)
    waiting = counter.acquire(SECOND, WAIT)
    await eventually(lambda: counter.waiters == 1)
    assert calls.tell(counter.service, Renew(SECOND, MICROSECONDS)) is None
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


# With a journal


class Slow(Counter):
    """A node whose journal a test lets go on."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = SlowJournal()
        self.service = Service(Table(7, journaled=True), self.clock, journal=self.journal)


@pytest.fixture
async def slow() -> Slow:
    return Slow()


async def test_a_grant_is_answered_when_it_is_durable(slow: Slow) -> None:
    call = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    assert not call.done()
    slow.journal.go_on()
    assert isinstance(await call, Granted)


async def test_a_call_cancelled_while_the_journal_syncs_gives_back(slow: Slow) -> None:
    call = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert not slow.stands(FIRST)


async def test_a_client_that_leaves_while_the_journal_syncs_holds_nothing(slow: Slow) -> None:
    call = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    slow.here = False
    slow.journal.go_on()
    await call
    assert not slow.stands(FIRST)


async def test_a_refusal_does_not_wait_for_the_journal(slow: Slow) -> None:
    holding = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    assert isinstance(await slow.acquire(SECOND), Refused)
    slow.journal.go_on()
    await holding


@pytest.mark.parametrize("failure", ["failed", "slow"])
async def test_a_grant_that_does_not_become_durable_is_no_grant(
    slow: Slow, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if failure == "slow":
        monkeypatch.setattr("lockmanager_node.service.DURABLE_DEADLINE", 0)
    call = slow.acquire(FIRST)
    if failure == "failed":
        await eventually(lambda: slow.journal.busy)
        slow.service.fail("the disk is full")
    with pytest.raises(calls.Stopping, match="journal"):
        async with asyncio.timeout(5):
            await call


async def test_a_grant_the_journal_was_too_slow_for_is_given_back(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockmanager_node.service.DURABLE_DEADLINE", 0)
    with pytest.raises(calls.Stopping):
        await slow.acquire(FIRST)
    assert not slow.stands(FIRST)


async def test_a_renewal_is_answered_when_it_is_durable(slow: Slow) -> None:
    call = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    slow.journal.go_on()
    await call
    renewal = asyncio.create_task(calls.renew(slow.service, Renew(FIRST, microseconds(20))))
    await eventually(lambda: slow.journal.busy)
    assert not renewal.done()
    slow.journal.go_on()
    assert isinstance(await renewal, Renewed)


async def test_a_release_does_not_wait_for_the_journal(slow: Slow) -> None:
    call = slow.acquire(FIRST)
    await eventually(lambda: slow.journal.busy)
    slow.journal.go_on()
    await call
    assert isinstance(calls.tell(slow.service, Release(FIRST)), Released)
