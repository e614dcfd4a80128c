"""What a node that rejoins asks its peers, when, and what becomes of the answers; by a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from lockmanager.clock import SystemClock
from lockmanager.durations import microseconds
from lockmanager.topology import NodeAddress
from lockmanager.wire import Acquire, Mode, Raise, Release, Space, Token
from lockmanager_node import rejoining
from lockmanager_node.recovery import Report
from lockmanager_node.rejoining import Ask, Rejoiner
from lockmanager_node.web import recovery as recovery_room
from tests.support.clusters import cluster_of
from tests.support.node_group import Group, group
from tests.support.node_server import eventually

TOKEN = "T" * 32
NAME = "orders/42"
OTHER = "orders/43"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Group]:
    """Three nodes; a lease stands on nodes 1 and 2, node 1 has lost its disk, and node 3 is down."""
    async with group(tmp_path) as nodes:
        await nodes.start_all()
        for node in ("node1", "node2"):
            nodes.members[node].hold(Space.QUORUM, NAME, TOKEN, ttl=600)
        await nodes.end("node3", abruptly=False)
        await nodes.replace("node1")
        yield nodes


async def read_by_node1(nodes: Group) -> None:
    """Let the silence of node 1 pass, and let it read what node 2 holds; it still waits for node 3."""
    nodes.end_of_silence()
    await eventually(lambda: "has learnt it from 1" in nodes.members["node1"].service.readiness.reason)


async def node1_rejoins(nodes: Group) -> None:
    await nodes.start("node3")
    await nodes.members["node1"].becomes_ready()


async def test_a_lease_that_stands_is_adopted(nodes: Group) -> None:
    await read_by_node1(nodes)
    await node1_rejoins(nodes)
    assert nodes.members["node1"].stands(TOKEN)


@pytest.mark.parametrize("read_before", [True, False])
async def test_a_lease_that_is_released_while_the_node_is_silent_is_not_adopted(
    nodes: Group, read_before: bool
) -> None:
    """Its owner was told that the release is done here, and will not send it again."""
    if read_before:
        await read_by_node1(nodes)
    nodes.members["node1"].service.handle("a session", Release(Token(TOKEN)))
    if not read_before:
        await read_by_node1(nodes)
    nodes.members["node2"].service.handle("a session", Release(Token(TOKEN)))
    await node1_rejoins(nodes)
    assert not nodes.members["node1"].stands(TOKEN)
    nodes.members["node1"].hold(Space.QUORUM, NAME, "U" * 32)
    assert nodes.members["node1"].stands("U" * 32)


async def test_a_release_before_the_silence_ended_says_nothing_of_later_leases(nodes: Group) -> None:
    nodes.members["node1"].service.handle("a session", Release(Token("U" * 32)))
    await read_by_node1(nodes)
    await node1_rejoins(nodes)
    nodes.members["node1"].hold(Space.QUORUM, OTHER, "U" * 32)
    assert nodes.members["node1"].stands("U" * 32)
    assert nodes.members["node1"].stands(TOKEN)


async def test_leases_are_asked_for_when_the_silence_is_over_and_not_before(
    nodes: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then they are of no use, and those who have many would be kept busy with telling them."""
    told: list[int] = []
    decode = rejoining._report.decode

    class Spy:
        def decode(self, body: bytes) -> Report:
            report = decode(body)
            told.append(len(report.leases))
            return report

    monkeypatch.setattr(rejoining, "_report", Spy())
    await eventually(lambda: len(told) > 3)
    assert set(told) == {0}
    assert "node2: it says the cluster is not new" in nodes.members["node1"].service.readiness.reason
    await read_by_node1(nodes)
    assert told[-1] == 1


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "1.2.3.4.5"])
async def test_a_peer_whose_address_cannot_be_used_is_named_and_the_others_are_asked_on(host: str) -> None:
    known = cluster_of(2)
    odd = (*known.nodes, NodeAddress("node3", f"http://{host}:8000"))
    rejoiner = Rejoiner.of(msgspec.structs.replace(known, nodes=odd), "node1", 1, SystemClock(), key=None)
    asking = asyncio.create_task(rejoiner.run())
    try:
        await eventually(lambda: asking.done() or "not asked yet" not in rejoiner.readiness().reason)
        assert not asking.done()
        assert "node3: " in rejoiner.readiness().reason
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_node_that_was_interrupted_at_its_first_start_asks_as_before(tmp_path: Path) -> None:
    async with group(tmp_path) as nodes:
        first = await nodes.start("node1")
        peer = await nodes.start("node2")
        await eventually(lambda: not peer.context.past.is_unknown("node1"))
        for abruptly in (True, False):
            again = await nodes.restart("node1", abruptly=abruptly)
            assert again.context.incarnation != first.context.incarnation
            assert (await again.reports()).never
            await again.asks_more_rounds()
            assert "node2: it recovers too (" not in again.service.readiness.reason
            assert "not new" not in again.service.readiness.reason
        await nodes.start("node3")
        for member in nodes.members.values():
            await member.becomes_ready()


async def test_a_node_that_lost_its_disk_at_the_first_start_has_a_past(tmp_path: Path) -> None:
    async with group(tmp_path) as nodes:
        for node in ("node1", "node2"):
            await nodes.start(node)
        await eventually(lambda: not nodes.members["node2"].context.past.is_unknown("node1"))
        again = await nodes.replace("node1")
        await eventually(lambda: "says the cluster is not new" in again.service.readiness.reason)


async def test_fences_rise_above_all_that_others_have_given(nodes: Group) -> None:
    """Whatever the wall clocks say: those of a replaced node and of whoever asks may be behind."""
    ahead = nodes.clock.wall() + microseconds(3600)
    nodes.members["node2"].service.handle("a session", Raise(Token(TOKEN), ahead))
    await read_by_node1(nodes)
    await node1_rejoins(nodes)
    token, ttl = Token("U" * 32), microseconds(10)
    behind = Acquire(token, Space.QUORUM, OTHER, nodes.clock.wall(), ttl, Mode.EXCLUSIVE, wait=False, label="behind")
    nodes.members["node1"].service.handle("a session", behind)
    lease = nodes.members["node1"].table.lease(token)
    assert lease is not None
    assert lease.fence > ahead


async def test_shared_leases_are_adopted_side_by_side(nodes: Group) -> None:
    for token in ("R" * 32, "S" * 32):
        nodes.members["node2"].hold_shared(OTHER, token, ttl=600)
    await read_by_node1(nodes)
    await node1_rejoins(nodes)
    member = nodes.members["node1"]
    assert member.stands("R" * 32)
    assert member.stands("S" * 32)


async def test_pages_of_two_lives_of_a_peer_are_never_put_together(
    nodes: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers by which pages follow each other begin anew with each life."""
    monkeypatch.setattr(recovery_room, "PAGE", 1)
    nodes.members["node2"].hold(Space.QUORUM, OTHER, "U" * 32, ttl=600)
    original, lives = Rejoiner._page, iter(range(1_000))

    async def another_life_each_time(rejoiner: Rejoiner, ask: Ask, peer: str, after: int) -> Report:
        return msgspec.structs.replace(await original(rejoiner, ask, peer, after), incarnation=next(lives))

    monkeypatch.setattr(Rejoiner, "_page", another_life_each_time)
    nodes.end_of_silence()
    node1 = nodes.members["node1"]
    await eventually(lambda: "it was restarted while it told its leases" in node1.service.readiness.reason)
    monkeypatch.setattr(Rejoiner, "_page", original)
    await node1_rejoins(nodes)
    assert node1.stands(TOKEN)
    assert node1.stands("U" * 32)
