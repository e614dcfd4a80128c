"""Facts that only a planted bug showed to be unguarded: each fails with one of `tests/planted` in the code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from lockmanager import Coordinator, LeaseLost
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Granted, Mode, Raise, Release, Released, Space, Token
from lockmanager_node import calls
from lockmanager_node.journal import DiskJournal
from lockmanager_node.records import Adoption, Kept
from lockmanager_node.recovery import Past, Rejoin, Report
from lockmanager_node.rejoining import Ask, Rejoiner
from lockmanager_node.service import Service
from lockmanager_node.table import Table
from lockmanager_node.waking import BOOT_KEY, SERVED_KEY, take_up
from tests.support.journal_cases import OWNER
from tests.support.journal_thread import Gate, turns
from tests.support.memory_network import LoopClock, MemoryNetwork, time_passes
from tests.support.service_cases import StillClock
from tests.support.table_cases import NOW, TTL, WALL, acquire, token_of

in_virtual_time = pytest.mark.looptime

HOUR = 3_600 * MICROSECONDS


class SuspendedClock(LoopClock):
    """A clock that went on while the timers of the event loop stood still, for `slept` microseconds."""

    slept = 0

    def now(self) -> int:
        return super().now() + self.slept


def waiting_at(network: MemoryNetwork, node: str) -> list[Token]:
    """Return the tokens that stand in line for the lock `a` at a node."""
    return [waiter.token for waiter in network.nodes[node].table.locks[Space.QUORUM, "a"].line]


def cut_off(network: MemoryNetwork, client: str, *nodes: str) -> None:
    """End the client's sessions with these nodes, and let it open no new ones."""
    network.cut(client, *nodes)
    for node in nodes:
        for connection in [one for one in network.nodes[node].connections if one.client == client]:
            connection.break_off()


@in_virtual_time
async def test_a_waiter_that_let_go_in_a_minority_asks_again_under_a_new_token() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder, network.coordinator("waiter") as waiter:
        lease = await holder.acquire("a")
        task = asyncio.create_task(waiter.acquire("a"))
        await time_passes(0.1)
        before = waiting_at(network, "node3")
        cut_off(network, "waiter", "node1", "node2")
        await time_passes(1)
        network.heal("waiter", "node1", "node2")
        await time_passes(2)
        after = waiting_at(network, "node3")
        assert len(before) == len(after) == 1
        assert before != after
        await lease.release()
        await (await task).release()


@in_virtual_time
async def test_a_release_that_was_lost_is_sent_again_when_the_node_is_back() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder:
        lease = await holder.acquire("a", ttl=30)
        network.cut("holder", "node1")
        await lease.release()
        assert not network.is_empty()
        network.heal("holder", "node1")
        network.nodes["node1"].connections[0].break_off()
        await time_passes(1)
        assert network.is_empty()


@in_virtual_time
async def test_a_coordinator_whose_clock_is_slow_numbers_after_the_tickets_its_nodes_have_seen() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator(skew=HOUR) as fast, network.coordinator() as slow:
        async with fast.lock("a") as early:
            pass
        async with slow.lock("b"):
            pass
        async with slow.lock("b") as late:
            assert late.ticket > early.ticket


@in_virtual_time
async def test_no_two_acquisitions_of_one_instant_have_the_same_ticket() -> None:
    network = MemoryNetwork(1)
    async with network.coordinator() as coordinator:
        tickets = [coordinator.engine.next_ticket() for _ in range(3)]
    assert tickets == [tickets[0], tickets[0] + 1, tickets[0] + 2]


@in_virtual_time
async def test_a_cancelled_acquisition_leaves_nothing_behind() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder, network.coordinator("waiter") as waiter, holder.lock("a"):
        task = asyncio.create_task(waiter.acquire("a"))
        await time_passes(0.1)
        assert [len(waiting_at(network, node)) for node in network.nodes] == [1, 1, 1]
        task.cancel()
        await time_passes(0.1)
        assert [waiting_at(network, node) for node in network.nodes] == [[], [], []]


@in_virtual_time
async def test_a_node_that_is_silent_for_more_than_three_heartbeats_is_given_up() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder:
        lease = await holder.acquire("a", ttl=30)
        network.cut("holder", "node1")
        await time_passes(5.5)
        links = holder.engine.links(network.nodes)
        assert [links[node][0] for node in network.nodes] == [Link.DOWN, Link.LIVE, Link.LIVE]
        await lease.release()


@in_virtual_time
async def test_a_release_is_over_as_soon_as_a_majority_confirmed_it() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator("holder") as holder:
        lease = await holder.acquire("a")
        network.cut("holder", "node1")
        began = asyncio.get_running_loop().time()
        await lease.release()
        assert asyncio.get_running_loop().time() - began == pytest.approx(2 * network.delay)


@in_virtual_time
async def test_a_lease_whose_time_passed_is_not_valid_before_any_timer_says_so() -> None:
    network, clock = MemoryNetwork(3), SuspendedClock()
    async with network.coordinator(clock=clock) as coordinator:
        lease = await coordinator.acquire("a", ttl=10)
        clock.slept = 11 * MICROSECONDS
        assert not lease.valid
        with pytest.raises(LeaseLost):
            lease.check()
        await lease.release()


@in_virtual_time
async def test_a_holder_learns_within_a_heartbeat_that_a_suspended_machine_outlived_its_lease() -> None:
    network, clock = MemoryNetwork(3), SuspendedClock()
    async with network.coordinator(clock=clock) as coordinator:
        lease = await coordinator.acquire("a", ttl=30)
        clock.slept = 31 * MICROSECONDS
        await time_passes(1.1)
        assert lease.lost.is_set()


@in_virtual_time
async def test_an_error_of_a_body_that_was_cancelled_by_a_loss_is_not_hidden() -> None:
    network = MemoryNetwork(3)

    async def work(coordinator: Coordinator) -> None:
        async with coordinator.lock("a", ttl=1):
            network.cut("holder", *network.nodes)
            try:
                await time_passes(5)
            except asyncio.CancelledError:
                raise ValueError("of the body") from None

    async with network.coordinator("holder") as holder:
        with pytest.raises(ValueError, match="of the body"):
            await work(holder)


def test_a_raised_fence_outlives_a_restart() -> None:
    table, fence = Table(1, journaled=True), 1_000_000
    table.handle("one", acquire("p", ticket=1), NOW, WALL)
    records = dict(table.take_changes().records)
    table.handle("one", Raise(token_of("p"), fence), NOW, WALL)
    changes = table.take_changes()
    records.update(changes.records)
    again = Table(2, journaled=True)
    kept = Kept([(number, record) for number, record in records.items() if record is not None], changes.fence_floor)
    again.restore(kept, NOW, same_boot=True)
    lease = again.lease(token_of("p"))
    assert lease is not None
    assert lease.fence == fence


def test_the_release_of_a_token_nobody_knows_ends_no_other_lease_of_its_session() -> None:
    table = Table(1)
    table.handle("one", acquire("p", ticket=1), NOW, WALL)
    assert table.handle("one", Release(token_of("q")), NOW, WALL) == [("one", Released(token_of("q")))]
    assert table.lease(token_of("p")) is not None


async def test_an_http_request_is_answered_when_what_it_changed_itself_is_durable(
    journal: DiskJournal, gate: Gate
) -> None:
    service = Service(Table(1, journaled=True), StillClock(), journal=journal)
    call = asyncio.create_task(calls.acquire(service, acquire("p", ticket=1), 0, gone=lambda: False))
    await gate.arrival()
    await turns()
    assert not call.done()
    gate.let()
    assert isinstance(await call, Granted)


@pytest.mark.parametrize(("boot", "gone"), [("one boot", 5), ("another boot", 0)])
async def test_the_time_a_node_was_away_counts_only_within_one_boot_of_the_machine(
    boot: str, gone: int, tmp_path: Path
) -> None:
    before, after, later = Table(1, journaled=True), Table(2, journaled=True), NOW + 5 * MICROSECONDS
    before.handle("one", acquire("p", ticket=1), NOW, WALL)
    journal = DiskJournal(tmp_path, OWNER)
    journal.attach(asyncio.get_running_loop())
    for key, value in ((SERVED_KEY, "yes"), (BOOT_KEY, "one boot")):
        journal.note(key, value)
    journal.write(before.take_changes())
    await journal.close()
    opened = DiskJournal(tmp_path, OWNER)
    take_up(opened, after, Past(), later, boot=boot)
    await opened.abandon()
    lease = after.lease(token_of("p"))
    assert lease is not None
    assert lease.deadline == later + TTL - gone * MICROSECONDS


@in_virtual_time
async def test_every_page_of_what_a_peer_holds_is_read() -> None:
    told = [Adoption(who, "a", who, 1, Mode.SHARED, number, TTL, revoked=False) for number, who in enumerate("pqr", 1)]

    async def ask(url: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        first = int(query["after"])
        page, rest = told[first : first + 1], told[first + 1 :]
        upto = first + 1 if rest else len(told)
        report = Report("node2", 1, "same", False, False, 3, page, upto, after=upto if rest else None)
        return 200, msgspec.json.encode(report)

    @asynccontextmanager
    async def asking(headers: Mapping[str, str]) -> AsyncIterator[Ask]:
        yield ask

    clock, urls = LoopClock(), {"node2": "http://node2"}
    rejoin = Rejoin(urls, needed=1, began=clock.now(), silence=MICROSECONDS)
    rejoiner = Rejoiner(
        rejoin, clock, node="node1", incarnation=1, urls=urls, fingerprint="same", key=None, asking=asking
    )
    assert (await rejoiner.run()).adoptions == told
