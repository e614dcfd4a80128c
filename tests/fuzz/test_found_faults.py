"""The faults that fuzzing has found so far, each as a test of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest

from lockmanager import RequestRejected
from lockmanager.checks import checked_wait
from lockmanager.wire import (
    Acquire,
    Answer,
    Granted,
    Mode,
    Raise,
    Release,
    Space,
    Token,
)
from lockmanager_node import calls, waking
from lockmanager_node.journal import DiskJournal
from lockmanager_node.limits import LARGEST_FENCE
from lockmanager_node.store import FILE_NAME, Batch, JournalRefused, Store
from lockmanager_node.table import Table
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context
from tests.support.journal_cases import OWNER, contents, grants, rewrite
from tests.support.memory_network import MemoryNetwork, time_passes
from tests.support.node_server import NODE_ID, FakeClock, Node, Reply, cluster, eventually, serving
from tests.support.raw_session import raw_session
from tests.support.table_cases import TTL

from .http_world import CODES
from .loops import errors, virtual_time
from .test_websockets import _request


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    with errors():
        async with serving() as node:
            yield node


# Fences


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


def test_a_fence_far_ahead_on_one_node_does_not_end_the_service_of_a_cluster() -> None:
    with virtual_time() as stage:
        stage.run(_acquire_after_a_raise())


# HTTP


async def test_a_key_of_half_a_character_beside_no_number_is_refused(node: Node) -> None:
    reply = await node.post("/v1/acquire", b'{"\\ud800": NaN}')
    assert reply.status == 400, reply.text


async def test_an_unknown_expectation_is_answered_with_a_problem(node: Node) -> None:
    reply = await node.ask("POST", "/v1/acquire", data=b'{"name": "a"}', headers={"Expect": "a miracle"})
    assert (reply.status, reply.headers["Content-Type"]) == (417, "application/problem+json")


@pytest.mark.parametrize("target", ["/v1/locks?prefix=%ff", "/v1/locks?anything=%ff", "/v1/locks?%ff=1"])
async def test_the_code_of_a_problem_is_of_the_list(node: Node, target: str) -> None:
    reply: Reply = await node.get(target)
    assert (reply.status, reply.json["code"] in CODES[400]) == (400, True), reply.text


async def test_a_body_in_no_encoding_is_not_logged_as_a_fault_of_the_node() -> None:
    with errors() as heard:
        async with serving() as node:
            reply = await node.ask("POST", "/v1/acquire", data=b"{}", headers={"Content-Encoding": "gzip"})
        assert reply.status == 400
        assert heard == []


async def test_a_websocket_key_that_is_not_ascii_is_refused(node: Node) -> None:
    answer = await node.raw(_request([b"Sec-WebSocket-Key: \xff", b"Connection: Upgrade, close"]))
    assert answer.startswith(b"HTTP/1.1 400"), answer


# Sessions


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


async def test_a_fault_at_the_end_of_a_session_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> NoReturn:
        raise KeyError("a fault of ours")

    with errors() as heard:
        async with serving() as node, aiohttp.ClientSession() as http:
            monkeypatch.setattr(node.service, "disconnect", fails)
            async with raw_session(http, f"http://127.0.0.1:{node.port}", cluster().fingerprint, "s" * 32):
                pass
            await eventually(lambda: any("KeyError" in one for one in heard))


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


async def test_one_damaged_byte_does_not_make_a_node_forget(tmp_path: Path) -> None:
    assert isinstance(await _live(tmp_path), Granted)
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes().replace(b"served", b"servee", 1))
    try:
        answer = await _live(tmp_path)
    except JournalRefused:
        return
    assert not isinstance(answer, Granted)


@pytest.mark.parametrize("key", ["first incarnation of node2", "asks as"])
async def test_a_damaged_note_is_refused(tmp_path: Path, key: str) -> None:
    store = Store(tmp_path, OWNER)
    store.commit(Batch(notes={key: "7x"}))
    store.close()
    journal = DiskJournal(tmp_path, OWNER)
    try:
        with pytest.raises(JournalRefused, match=f"'{key}' is '7x' and not a whole number.*replace this node"):
            create_context(cluster(), NODE_ID, journal=journal)
    finally:
        await journal.abandon()


def test_a_record_nested_without_end_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    store.commit(grants(1))
    store.close()
    rewrite(tmp_path, 1, "[" * 5_000)
    with pytest.raises(JournalRefused):
        contents(tmp_path)


# Callers


@pytest.mark.parametrize("wait", [1e303, 1.7e308])
def test_a_wait_beyond_all_numbers_is_rejected(wait: float) -> None:
    with pytest.raises(RequestRejected, match="wait"):
        checked_wait(wait)
