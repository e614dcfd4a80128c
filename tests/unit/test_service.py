"""The owner of the table: one frame per tick and its anchor, silent sessions, and what a session may not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lockmanager.durations import microseconds
from lockmanager.wire import (
    FRAME_LIMIT,
    DownFrame,
    Granted,
    Hello,
    Inquire,
    Queued,
    Raise,
    Rejected,
    Release,
    Renew,
    Space,
    Yield,
)
from lockmanager_node.service import Service
from lockmanager_node.sessions import SessionTaken
from lockmanager_node.silence import patience
from lockmanager_node.table import Table
from tests.support.service_cases import Far, tick
from tests.support.service_cases import StillClock as Clock
from tests.support.table_cases import INCARNATION, NOW, TTL, WALL, acquire, token_of


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(clock: Clock) -> Service:
    return Service(Table(INCARNATION), clock)


def kinds(messages: list[object]) -> list[type]:
    return [type(message) for message in messages]


async def test_all_answers_of_a_tick_travel_in_one_frame(service: Service) -> None:
    ann = Far(service, "ann")
    for n in range(5):
        ann.send(acquire(f"a{n}", ticket=WALL, name=f"lock {n}"))
    await tick()
    assert [kinds(list(frame.messages)) for frame in ann.frames] == [[Granted] * 5]


async def test_a_heartbeat_is_answered_by_an_empty_frame_with_its_own_anchor(service: Service) -> None:
    ann = Far(service, "ann")
    ann.send(sent=77)
    await tick()
    assert ann.frames == [DownFrame(77, 0, [])]


async def test_a_frame_rests_on_the_oldest_sent_any_of_its_decisions_rests_on(service: Service) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL), sent=10)
    ann.send(acquire("b", ticket=WALL, name="another"), sent=20)
    await tick()
    ann.send(sent=30)
    await tick()
    assert [frame.echo for frame in ann.frames] == [10, 30]


async def test_a_pushed_grant_rests_on_the_newest_sent_heard_before_it_was_decided(service: Service) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL))
    bob.send(acquire("b", ticket=WALL + 1), sent=10)
    bob.send(sent=50)
    await tick()
    ann.send(Release(token_of("a")))
    bob.send(sent=90)
    await tick()
    assert (bob.frames[-1].echo, kinds(list(bob.frames[-1].messages))) == (50, [Granted])


async def test_a_frame_carries_the_largest_ticket_seen(service: Service) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL + 5))
    bob.send()
    await tick()
    assert bob.frames[-1].largest_ticket == WALL + 5


async def test_answers_that_do_not_fit_one_frame_travel_in_several_in_order(service: Service) -> None:
    label, name = "x" * 128, "n" * 255
    holder, ann = Far(service, "holder"), Far(service, "ann")
    holder.send(acquire("holder", ticket=WALL, name=name, label=label))
    asked = [acquire(f"a{n}", ticket=WALL + 1 + n, name=name) for n in range(7_000)]
    ann.send(*asked)
    told = await ann.told()
    assert [message.token for message in told if isinstance(message, Queued)] == [one.token for one in asked]
    assert len(ann.frames) > 1
    assert max(ann.sizes) <= FRAME_LIMIT


async def test_a_session_cannot_acquire_in_the_nodes_own_space(service: Service) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL, space=Space.NODE), acquire("b", ticket=WALL))
    (rejected, granted) = await ann.told()
    assert isinstance(rejected, Rejected)
    assert (rejected.token, rejected.code) == (token_of("a"), "space")
    assert isinstance(granted, Granted)


async def test_a_second_hello_ends_the_session(service: Service) -> None:
    ann = Far(service, "ann")
    ann.send(Hello(1, "", "", ""), acquire("a", ticket=WALL))
    assert ann.closed == ["a second hello in one session"]
    assert service.table.lease_count == 0
    ann.send(acquire("a", ticket=WALL))
    assert service.table.lease_count == 0


# Reconnecting


async def test_a_new_connection_replaces_the_old_one_whose_unread_answers_are_dropped(service: Service) -> None:
    old, holder = Far(service, "ann"), Far(service, "holder")
    holder.send(acquire("h", ticket=WALL))
    old.send(acquire("a", ticket=WALL + 1))
    new = Far(service, "ann")
    await tick()
    assert (old.closed, old.frames) == (["replaced by a new connection of the same session"], [])
    service.disconnect(old.session)
    assert service.table.waiter_count == 1
    holder.send(Release(token_of("h")))
    assert kinds(await new.told()) == [Granted]


async def test_a_session_opened_with_one_key_cannot_be_taken_over_with_another(service: Service) -> None:
    old = Far(service, "ann", key_id="blue")
    with pytest.raises(SessionTaken):
        Far(service, "ann", key_id="red")
    assert old.closed == []
    old.send(acquire("a", ticket=WALL))
    assert kinds(await old.told()) == [Granted]


async def test_a_connection_that_is_gone_takes_its_waiters_along_and_leaves_its_leases(service: Service) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL))
    bob.send(acquire("b", ticket=WALL + 1), acquire("c", ticket=WALL, name="another"))
    service.disconnect(bob.session)
    assert (service.table.waiter_count, service.table.lease_count) == (0, 2)
    service.disconnect(bob.session)
    await tick()
    assert bob.frames == []


# Silence


def waiting(service: Service) -> tuple[Far, Far]:
    """Return a holder's session and one that waits for it."""
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL))
    bob.send(acquire("b", ticket=WALL + 1))
    return ann, bob


async def test_a_waiting_session_silent_for_three_heartbeats_leaves_the_line(service: Service, clock: Clock) -> None:
    _, bob = waiting(service)
    clock.at += patience(TTL) - 1
    service.expire()
    assert service.table.waiter_count == 1
    clock.at += 1
    service.expire()
    assert (service.table.waiter_count, bob.closed) == (0, ["silent for three heartbeats"])


async def test_an_empty_frame_is_a_sign_of_life(service: Service, clock: Clock) -> None:
    _, bob = waiting(service)
    for _ in range(3):
        clock.at += patience(TTL) - 1
        bob.send()
        service.expire()
    assert (service.table.waiter_count, bob.closed) == (1, [])


async def test_a_silent_session_that_only_holds_keeps_its_lease(service: Service, clock: Clock) -> None:
    ann, _ = waiting(service)
    clock.at += TTL - 1
    service.expire()
    assert (service.table.lease_count, ann.closed) == (1, [])


async def test_a_silent_session_that_gave_its_grant_back_leaves_the_line_too(service: Service, clock: Clock) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL + 9, ttl=100 * TTL))
    clock.at += 2 * patience(TTL)
    service.expire()
    bob.send(acquire("b", ticket=WALL, ttl=100 * TTL))
    (inquire,) = [message for message in await ann.told() if isinstance(message, Inquire)]
    ann.send(Yield(inquire.token, inquire.grant_id))
    assert service.table.waiter_count == 1
    clock.at += patience(TTL) - 1
    service.expire()
    assert ann.closed == []
    clock.at += 1
    service.expire()
    assert (service.table.waiter_count, ann.closed) == (0, ["silent for three heartbeats"])


async def test_who_waits_over_http_has_no_heartbeat_and_is_not_given_up(service: Service, clock: Clock) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL, ttl=10 * TTL))
    service.handle("http-1", acquire("b", ticket=WALL + 1))
    clock.at += 5 * TTL
    service.expire()
    assert service.table.waiter_count == 1


# The timer and the end


async def test_the_timer_does_what_is_due_and_arms_itself_again(service: Service, clock: Clock) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL, ttl=microseconds(20)), acquire("b", ticket=WALL, name="b", ttl=microseconds(10)))
    assert service._timer_at == NOW + microseconds(10)
    clock.at += microseconds(10)
    service._on_timer()
    assert (service.table.lease_count, service._timer_at) == (1, NOW + microseconds(20))
    service.stop()


async def test_an_earlier_deadline_brings_the_timer_forward_and_a_later_one_leaves_it(service: Service) -> None:
    ann = Far(service, "ann")
    seen = []
    for n, ttl in enumerate((20, 30, 10)):
        ann.send(acquire(f"a{n}", ticket=WALL, name=f"lock {n}", ttl=microseconds(ttl)))
        seen.append(service._timer_at - NOW)
    assert seen == [microseconds(20), microseconds(20), microseconds(10)]
    service.stop()


async def test_the_loop_calls_the_timer(service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[float] = []
    loop = asyncio.get_running_loop()

    def call_later(delay: float, then: Callable[[], None]) -> asyncio.Handle:
        called.append(delay)
        return loop.call_soon(then)

    monkeypatch.setattr(loop, "call_later", call_later)
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    assert called == [10.0]
    clock.at += TTL
    await tick()
    assert service.table.lease_count == 0
    service.stop()


async def test_a_node_that_stops_sends_what_it_decided_and_closes_every_session(service: Service) -> None:
    ann, bob = waiting(service)
    service.stop()
    assert [kinds(list(frame.messages)) for frame in ann.frames + bob.frames] == [[Granted], [Queued]]
    assert ann.closed == bob.closed == ["this node is stopping"]
    assert not service.ready
    service.stop()


async def test_an_operators_revoke_reaches_the_holder_and_is_counted(service: Service) -> None:
    ann, _ = waiting(service)
    await tick()
    assert service.revoke((Space.QUORUM, "orders/42"), force=False) == 1
    assert [type(message).__name__ for message in await ann.told()] == ["Revoked"]


async def test_a_request_numbered_by_the_node_comes_after_all_it_has_seen(service: Service, clock: Clock) -> None:
    assert service.next_ticket() == WALL
    Far(service, "ann").send(acquire("a", ticket=WALL + 100))
    assert service.next_ticket() == WALL + 101
    clock.at += microseconds(1)
    assert service.next_ticket() == WALL + microseconds(1)


async def test_a_fence_more_than_a_day_ahead_is_not_followed_or_nothing_could_be_numbered(service: Service) -> None:
    day, ann = microseconds(24 * 3600), Far(service, "ann")
    ann.send(acquire("a", ticket=WALL), Raise(token_of("a"), WALL + day - 1))
    assert service.next_ticket() == WALL + day
    ann.send(Raise(token_of("a"), WALL + day))
    assert service.next_ticket() == WALL


async def test_answers_for_nobody_who_listens_are_dropped(service: Service) -> None:
    service.handle("gone", Renew(token_of("a"), TTL))
    assert service.ready
    assert kinds(await Far(service, "ann").told()) == []


async def test_what_a_peer_shows_is_not_its_session_id(service: Service) -> None:
    assert "session ann" not in repr(Far(service, "ann").session.peer)


class RestlessClock(Clock):
    """Goes on by a second with each reading."""

    def now(self) -> int:
        self.at += microseconds(1)
        return self.at


async def test_the_requests_of_one_frame_are_decided_as_of_one_instant_after_its_sent_was_noted() -> None:
    clock = RestlessClock()
    service = Service(Table(INCARNATION), clock)
    ann = Far(service, "ann")
    before = clock.at
    ann.send(*(acquire(f"a{n}", ticket=WALL, name=f"lock {n}") for n in range(3)), sent=5)
    leases = [service.table.lease(token_of(f"a{n}")) for n in range(3)]
    deadlines = {lease.deadline for lease in leases if lease is not None}
    assert len(deadlines) == 1
    assert deadlines.pop() > before + TTL
