"""What should be and is not, as the fuzzing shows: each test is marked as failing, and the mark goes with the fault."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import msgspec
import pytest

from lockmanager import RequestRejected
from lockmanager.checks import checked_wait
from lockmanager.durations import MICROSECONDS
from lockmanager.topology import Limits
from lockmanager.wire import (
    Acquire,
    Answer,
    DownFrame,
    Granted,
    Mode,
    Raise,
    Release,
    Space,
    Token,
    decode_down,
    encode,
)
from lockmanager_node import calls, waking
from lockmanager_node.journal import DiskJournal
from lockmanager_node.limits import LARGEST_FENCE
from lockmanager_node.records import Adoption
from lockmanager_node.recovery import Past, Rejoin, Report
from lockmanager_node.rejoining import Rejoiner
from lockmanager_node.store import FILE_NAME, Batch, JournalRefused, Store
from lockmanager_node.table import Table
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context
from tests.support.journal_cases import OWNER, contents, grants, rewrite
from tests.support.memory_network import LoopClock, MemoryNetwork, time_passes
from tests.support.node_server import NODE_ID, FakeClock, Node, Reply, cluster, serving
from tests.support.raw_session import raw_session
from tests.support.table_cases import INCARNATION, NOW, TTL, WALL, token_of

from .http_world import CODES
from .journal_damage import NOTES
from .loops import errors, virtual_time
from .test_reports import CLUSTER
from .test_websockets import _request


def fault(reason: str, raises: type[Exception] = AssertionError) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=reason, raises=raises)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    with errors():
        async with serving() as node:
            yield node


# Fences


@fault("a raise is bounded by 53 bits only, where a ticket is bounded by a day: HTTP requests are numbered after it")
async def test_a_fence_far_ahead_does_not_end_the_service_of_a_node(node: Node) -> None:
    node.hold(Space.QUORUM, "a", "t" * 32)
    node.service.handle("a session", Raise(Token("t" * 32), LARGEST_FENCE))
    reply = await node.post("/v1/acquire", {"name": "another"})
    assert reply.status == 200, reply.text


async def _acquire_after_a_raise() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator:
        await time_passes(0.1)
        lease = await coordinator.acquire("a", ttl=1)
        raised = Raise(lease._run.acquisition.token, LARGEST_FENCE)
        network.nodes["node1"].service.handle("somebody", raised)
        await lease.release()
        await time_passes(70)
        lease = await coordinator.acquire("another", ttl=1, wait=20)
        assert lease.fence <= LARGEST_FENCE
        await lease.release()


@fault("the next fence has 54 bits, and no node accepts it: while that node is up nobody gets a lock", RequestRejected)
def test_a_fence_far_ahead_on_one_node_does_not_end_the_service_of_a_cluster() -> None:
    with virtual_time() as stage:
        stage.run(_acquire_after_a_raise())


# HTTP


@fault("the name of the field cannot be written into the answer: 500")
async def test_a_key_of_half_a_character_beside_no_number_is_refused(node: Node) -> None:
    reply = await node.post("/v1/acquire", b'{"\\ud800": NaN}')
    assert reply.status == 400, reply.text


@fault("aiohttp answers it before any middleware: 417 in plain text")
async def test_an_unknown_expectation_is_answered_with_a_problem(node: Node) -> None:
    reply = await node.ask("POST", "/v1/acquire", data=b'{"name": "a"}', headers={"Expect": "a miracle"})
    assert (reply.status, reply.headers["Content-Type"]) == (417, "application/problem+json")


@fault("a value that cannot be decoded is reported under its own name, before it is looked at whether that is known")
@pytest.mark.parametrize("target", ["/v1/locks?prefix=%ff", "/v1/locks?anything=%ff", "/v1/locks?%ff=1"])
async def test_the_code_of_a_problem_is_of_the_list(node: Node, target: str) -> None:
    reply: Reply = await node.get(target)
    assert (reply.status, reply.json["code"] in CODES[400]) == (400, True), reply.text


@fault("aiohttp reads what is left of the body once more, and logs what it finds as an unhandled exception")
async def test_a_body_in_no_encoding_is_not_logged_as_a_fault_of_the_node() -> None:
    with errors() as heard:
        async with serving() as node:
            reply = await node.ask("POST", "/v1/acquire", data=b"{}", headers={"Content-Encoding": "gzip"})
        assert reply.status == 400
        assert heard == []


@fault("aiohttp's handshake lets ValueError through: 500, and a fault in the log")
async def test_a_websocket_key_that_is_not_ascii_is_refused(node: Node) -> None:
    answer = await node.raw(_request([b"Sec-WebSocket-Key: \xff", b"Connection: Upgrade, close"]))
    assert answer.startswith(b"HTTP/1.1 400"), answer


# Sessions


@fault("the middleware takes whatever a session raises for the end of its connection")
async def test_a_fault_in_a_session_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> NoReturn:
        raise KeyError("a fault of ours")

    with errors() as heard:
        async with serving() as node, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{node.port}"
            async with raw_session(http, url, cluster().fingerprint, "s" * 32) as session:
                monkeypatch.setattr(Table, "handle", fails)
                await session.send(Release(Token("t" * 32)))
                assert await session.frame() is None
        assert any("KeyError" in one for one in heard)


# The journal


async def _live(directory: Path) -> Answer | None:
    """Let a node live for as long as it takes somebody to try for a lock."""
    described = cluster()
    journal = DiskJournal(directory, waking.owner(described, NODE_ID))
    server = Server(create_context(described, NODE_ID, FakeClock(), journal=journal))
    await server.start(socket.create_server(("127.0.0.1", 0)))
    try:
        service = server.context.service
        token = server.context.new_token()
        wanted = Acquire(
            token, Space.QUORUM, "a", service.next_ticket(), 60 * TTL, Mode.EXCLUSIVE, wait=False, label=""
        )
        return await calls.acquire(service, wanted, 0, gone=lambda: False)
    finally:
        await server.stop()


@fault("the rows of `about` have no checksum: a node that reads `servee` takes itself for new, and grants again")
async def test_one_damaged_byte_does_not_make_a_node_forget(tmp_path: Path) -> None:
    assert isinstance(await _live(tmp_path), Granted)
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes().replace(b"served", b"servee", 1))
    try:
        answer = await _live(tmp_path)
    except JournalRefused:
        return
    assert not isinstance(answer, Granted)


@fault(
    "a number among the notes is read without looking: the node ends with a ValueError in place of advice", ValueError
)
@pytest.mark.parametrize("key", ["first incarnation of node2", "asks as"])
async def test_a_damaged_note_is_refused(tmp_path: Path, key: str) -> None:
    store = Store(tmp_path, OWNER)
    store.commit(Batch(notes=NOTES | {key: "7x"}))
    store.close()
    try:
        journal = DiskJournal(tmp_path, OWNER)
    except JournalRefused:
        return
    try:
        waking.take_up(journal, Table(INCARNATION), Past(), NOW, boot="this one")
        waking.asks_as(journal, 1)
    finally:
        await journal.abandon()


@fault("its reader falls into itself: only a file made on purpose has a checksum that fits such a row", RecursionError)
def test_a_record_nested_without_end_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    store.commit(grants(1))
    store.close()
    rewrite(tmp_path, 1, "[" * 5_000)
    with pytest.raises(JournalRefused):
        contents(tmp_path)


# Reports of peers


_LEASE = Adoption("0" * 64, "a", "", 5, Mode.EXCLUSIVE, 5, 10 * MICROSECONDS, revoked=False)


def _served_after(report: Report) -> Table:
    """Return the table of a node that rejoined with what one peer told."""
    rejoin = Rejoin([report.node], 1, 0)
    at = rejoin.silence_ends
    rejoin.on_report(report, at, at)
    rejoin.on_report(msgspec.structs.replace(report, leases=[]), at + 1, at + 1, since=report.upto)
    verdict = rejoin.verdict(at + 2, WALL)
    assert verdict is not None
    table = Table(INCARNATION)
    table.silent = True
    table.serve(verdict.adoptions, verdict.fence_floor, NOW)
    return table


def _report(**changes: Any) -> Report:
    plain = Report("node2", 5, CLUSTER.fingerprint, recovering=False, never=False, fence=7, leases=[], upto=1)
    return msgspec.structs.replace(plain, **changes)


@fault("whatever number a peer tells becomes the node's own: it cannot write its grants any more")
@pytest.mark.parametrize("fence", [LARGEST_FENCE, 10**30])
def test_a_fence_beyond_all_limits_in_a_report_is_not_believed(fence: int) -> None:
    table = _served_after(_report(fence=fence))
    wanted = Acquire(token_of("ann"), Space.QUORUM, "b", WALL, TTL, Mode.EXCLUSIVE, wait=False, label="")
    ((_, granted),) = table.handle("a session", wanted, NOW, WALL)
    assert isinstance(granted, Granted)
    assert granted.fence <= LARGEST_FENCE
    assert decode_down(encode(DownFrame(0, granted.fence, [granted]))).messages == [granted]


@fault("a ttl above the limit is adopted as it is: the lock is gone for as long")
def test_a_ttl_beyond_all_limits_in_a_report_is_not_believed() -> None:
    table = _served_after(_report(leases=[msgspec.structs.replace(_LEASE, ttl=10**30)]))
    table.expire(NOW + round(Limits().max_ttl * MICROSECONDS))
    assert table.lease_count == 0


async def _ask_a_peer_without_end() -> None:
    clock, peers = LoopClock(), ["node2", "node3", "node4", "node5"]
    rejoin = Rejoin(peers, 3, clock.now(), 2 * MICROSECONDS)

    async def ask(url: str, _: Mapping[str, str]) -> tuple[int, bytes]:
        node, endless = url.removeprefix("http://").partition("/")[0], "node2" in url
        await asyncio.sleep(1.0 if endless else 0.001)
        return 200, msgspec.json.encode(_report(node=node, upto=0, after=1 if endless else None))

    urls = {peer: f"http://{peer}" for peer in peers}
    of, asking = CLUSTER.fingerprint, nullcontext(ask)
    rejoiner = Rejoiner(
        rejoin, clock, node="node1", incarnation=9, urls=urls, fingerprint=of, key=None, asking=lambda _: asking
    )
    async with asyncio.timeout(300):
        await rejoiner.run()


@fault("pages are read for as long as there are more, and all peers are waited for", TimeoutError)
def test_a_report_without_end_does_not_keep_a_node_from_serving() -> None:
    with virtual_time() as stage:
        stage.run(_ask_a_peer_without_end())


# Callers


@fault("its microseconds are infinite", OverflowError)
@pytest.mark.parametrize("wait", [1e303, 1.7e308])
def test_a_wait_beyond_all_numbers_is_rejected(wait: float) -> None:
    with pytest.raises(RequestRejected, match="wait"):
        checked_wait(wait)
