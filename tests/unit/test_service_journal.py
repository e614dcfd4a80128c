"""What leaves a node before its journal is synced, and what does not."""

from __future__ import annotations

import pytest

from lockmanager.wire import Granted, Inquire, Queued, Raise, Release, Released, Renew, State, Yield
from lockmanager_node.records import Adoption, LeaseRecord
from lockmanager_node.recovery import Readiness
from lockmanager_node.service import Service
from lockmanager_node.table import Table
from tests.support.service_cases import Far, SlowJournal, StillClock, tick
from tests.support.table_cases import EXCLUSIVE, INCARNATION, KEY, NOW, TTL, WALL, acquire, token_of


@pytest.fixture
def journal() -> SlowJournal:
    return SlowJournal()


@pytest.fixture
async def service(journal: SlowJournal) -> Service:
    return Service(Table(INCARNATION, journaled=True), StillClock(), journal=journal)


def kinds(far: Far) -> list[list[type]]:
    return [[type(message) for message in frame.messages] for frame in far.frames]


async def test_a_grant_leaves_when_it_is_durable_with_the_echo_of_its_decision(
    service: Service, journal: SlowJournal
) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL), sent=10)
    await tick()
    ann.send(sent=99)
    await tick()
    assert ann.frames == []
    journal.go_on()
    assert [(frame.echo, [type(one) for one in frame.messages]) for frame in ann.frames] == [(10, [Granted]), (99, [])]


async def test_what_is_decided_while_a_commit_runs_waits_for_a_commit_of_its_own(
    service: Service, journal: SlowJournal
) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL), sent=10)
    await tick()
    running, journal.waiting = journal.waiting, []
    ann.send(acquire("b", ticket=WALL, name="another"), sent=20)
    await tick()
    running[0]()
    assert [(frame.echo, len(frame.messages)) for frame in ann.frames] == [(10, 1)]
    journal.go_on()
    assert [(frame.echo, len(frame.messages)) for frame in ann.frames] == [(10, 1), (20, 1)]


async def test_all_that_changed_in_a_tick_is_written_at_once_before_anybody_waits_for_it(
    service: Service, journal: SlowJournal
) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL), acquire("b", ticket=WALL, name="another"))
    bob.send(acquire("c", ticket=WALL, name="a third"))
    await tick()
    assert [len(changes.records) for changes in journal.written] == [3]
    assert len(journal.waiting) == 2


@pytest.mark.parametrize("what", ["renewal", "raise", "revoke", "a grant sent again"])
async def test_whatever_extends_or_must_not_be_forgotten_waits_too(
    service: Service, journal: SlowJournal, what: str
) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    journal.go_on()
    ann.frames.clear()
    match what:
        case "renewal":
            ann.send(Renew(token_of("a"), TTL))
        case "raise":
            ann.send(Raise(token_of("a"), WALL + 9))
        case "revoke":
            service.revoke(KEY, force=False)
        case _:
            ann.send(acquire("a", ticket=WALL))
    await tick()
    assert ann.frames == []
    journal.go_on()
    assert len(ann.frames) == 1


async def test_who_only_waits_is_refused_or_gives_back_does_not_wait_for_the_disk(
    service: Service, journal: SlowJournal
) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    journal.go_on()
    bob.send(acquire("b", ticket=WALL + 1), acquire("c", ticket=WALL + 2, wait=False), Release(token_of("nobody")))
    await tick()
    assert [type(message).__name__ for message in bob.frames[0].messages] == ["Queued", "Refused", "Released"]
    ann.frames.clear()
    ann.send(Release(token_of("a")))
    await tick()
    assert kinds(ann) == [[Released]]
    assert bob.frames[1:] == []
    journal.go_on()
    assert kinds(bob)[1:] == [[Granted]]


async def test_the_end_of_a_lease_is_in_the_same_stream_and_in_order(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    ann.send(Release(token_of("a")))
    await tick()
    (grant,), (end,) = (changes.records for changes in journal.written)
    assert (grant[0], end) == (1, (1, None))
    assert isinstance(grant[1], LeaseRecord)


async def test_no_frame_overtakes_an_older_one_of_its_session(service: Service, journal: SlowJournal) -> None:
    """An inquiry that came before the grant it asks for would be ignored, and is never sent again."""
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL + 9))
    await tick()
    bob.send(acquire("b", ticket=WALL))
    await tick()
    assert ann.frames == []
    assert kinds(bob) == [[Queued]]
    journal.go_on()
    assert kinds(ann) == [[Granted], [Inquire]]


async def test_a_place_given_back_waits_for_the_grant_that_follows_only(service: Service, journal: SlowJournal) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL + 9))
    bob.send(acquire("b", ticket=WALL))
    await tick()
    journal.go_on()
    ann.send(Yield(token_of("a"), (INCARNATION, 1)), sent=50)
    await tick()
    assert [frame.echo for frame in ann.frames] == [1, 50]
    assert kinds(bob) == [[Queued]]
    journal.go_on()
    assert kinds(bob)[1:] == [[Granted]]


async def test_what_time_alone_ends_is_written_though_nobody_is_told(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    clock = service._clock
    assert isinstance(clock, StillClock)
    clock.at += TTL
    service.expire()
    await tick()
    assert journal.written[-1].records == [(1, None)]


async def test_a_session_that_ended_meanwhile_is_sent_nothing(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    service.disconnect(ann.session)
    journal.go_on()
    assert ann.frames == []


# HTTP


async def test_nothing_to_write_is_durable_at_once(service: Service, journal: SlowJournal) -> None:
    assert await service.durable()
    assert journal.waiting == []


# Stop and failure


async def test_a_stop_sends_what_is_durable_before_it_closes(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    service.stop()
    assert (ann.frames, ann.closed) == ([], [])
    journal.go_on()
    assert (kinds(ann), ann.closed) == ([[Granted]], ["this node is stopping"])
    await service.drained(0)


async def test_a_node_that_stops_decides_nothing_more(service: Service, journal: SlowJournal) -> None:
    ann, bob = Far(service, "ann"), Far(service, "bob")
    ann.send(acquire("a", ticket=WALL))
    bob.send(acquire("b", ticket=WALL + 1))
    await tick()
    service.stop()
    ann.send(Release(token_of("a")), acquire("c", ticket=WALL, name="another"))
    service.disconnect(bob.session)
    service.expire()
    assert (service.table.lease_count, service.table.waiter_count) == (1, 1)


async def test_a_slow_journal_does_not_hold_up_a_stop_for_ever(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    service.stop()
    await service.drained(0)
    assert (ann.frames, len(ann.closed)) == ([], 1)
    journal.go_on()
    assert ann.frames == []


async def test_after_a_failure_nothing_that_waited_is_ever_said(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    await tick()
    service.fail("the disk is full")
    assert (ann.frames, ann.closed) == ([], ["the disk is full"])
    journal.go_on()
    assert ann.frames == []
    assert not service.ready


# Silence


def told() -> Adoption:
    return Adoption("a digest", KEY[1], "ann", WALL, EXCLUSIVE, WALL, TTL, False)


async def test_a_silent_node_says_why_and_serves_when_it_is_told_to(service: Service, journal: SlowJournal) -> None:
    service.be_silent(lambda: Readiness(State.RECOVERING, "it asks its peers", 5))
    assert not service.ready
    assert service.readiness == Readiness(State.RECOVERING, "it asks its peers", 5)
    service.serve([], 0)
    assert service.ready


async def test_what_is_adopted_is_written_before_anything_else(service: Service, journal: SlowJournal) -> None:
    service.be_silent(lambda: Readiness(State.RECOVERING))
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL, name="another"))
    await tick()
    ann.frames.clear()
    service.serve([told()], WALL + 7)
    assert [len(changes.records) for changes in journal.written] == [2]
    assert journal.written[0].fence_floor == WALL + 8
    await tick()
    assert ann.frames == []
    journal.go_on()
    assert kinds(ann) == [[Granted]]


async def test_a_started_node_writes_what_another_boot_changed_and_wakes_up_in_time(
    service: Service, journal: SlowJournal
) -> None:
    service.table.serve([told()], 0, NOW)
    service.start()
    assert [len(changes.records) for changes in journal.written] == [1]
    assert service._timer_at == NOW + TTL
    service.stop()


async def test_frames_behind_a_slow_disk_go_with_their_session(service: Service, journal: SlowJournal) -> None:
    ann = Far(service, "ann")
    ann.send(acquire("a", ticket=WALL))
    for _ in range(3):
        await tick()
        ann.send()
    assert len(ann.session._outgoing) == 3
    service.disconnect(ann.session)
    assert not ann.session._outgoing
