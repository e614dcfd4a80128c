"""What a coordinator says when the other end is no node of its cluster, or no lock node at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import pytest
from aiohttp import WSMsgType, web

from lockmanager import (
    AccessDenied,
    AcquireTimeout,
    Cluster,
    ClusterMismatch,
    Coordinator,
    LockManagerError,
    ProtocolMismatch,
    QuorumUnavailable,
)
from lockmanager.ballot import Link
from lockmanager.testing import LocalCluster
from lockmanager.topology import NodeAddress
from lockmanager.transport import ConnectionLost, WebSocketConnector
from lockmanager.wire import FRAME_LIMIT, Acquire, DownFrame, Granted, Refusal, State, Welcome, decode_up, encode
from tests.support.node_server import NODE_ID, cluster, serving
from tests.support.waiting import DEADLINE, connections_are_refused, session_is_gone, sessions_are_live

SOON: Final = 2.0
"""Seconds within which an error that waiting cannot mend must come, however long the caller would wait."""

Socket = web.WebSocketResponse
WELCOME: Final = Welcome(NODE_ID, 1, State.SERVING)


def only_node(url: str) -> Cluster:
    """Describe a cluster of the one node at `url`."""
    return Cluster(name="test", nodes=(NodeAddress(NODE_ID, url),))


@asynccontextmanager
async def impostor(answers: Callable[[Socket], Awaitable[None]], *, autoclose: bool = True) -> AsyncIterator[Cluster]:
    """Serve something that accepts sessions, reads the hello and goes on as `answers` does."""

    async def session(request: web.Request) -> Socket:
        socket = Socket(autoclose=autoclose)
        await socket.prepare(request)
        await socket.receive()
        await answers(socket)
        return socket

    app = web.Application()
    app.add_routes([web.get("/v1/session", session)])
    async with running(app) as url:
        yield only_node(url)


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port, *_ = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(says: bytes | None) -> AsyncIterator[Cluster]:
    """Serve bytes that are no HTTP, or (None) accept and never say anything."""
    connections: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if says is not None:
            writer.write(says)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield only_node(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for writer in connections:
            writer.transport.abort()
        await server.wait_closed()


async def cause(described: Cluster) -> str:
    """Return why the only node cannot be used, as the error names it."""
    async with Coordinator(described) as coordinator:
        await session_is_gone(coordinator, NODE_ID)
        with pytest.raises(QuorumUnavailable) as caught:
            await coordinator.acquire("x", wait=0.1)
    return caught.value.causes[NODE_ID]


async def refusal(described: Cluster, *, api_key: str | None = None) -> list[LockManagerError]:
    """Return what acquiring raises, at once and later, quorum and efficiency, waiting for ever and not at all."""
    raised: list[LockManagerError] = []
    async with Coordinator(described, api_key=api_key) as coordinator:
        for wait in (None, 0.05, 0):
            for enter in (coordinator.lock("x", wait=wait), coordinator.efficiency_lock("x", wait=wait)):
                with pytest.raises(LockManagerError) as caught:
                    async with asyncio.timeout(SOON):
                        await enter.__aenter__()
                raised.append(caught.value)
    return raised


# Another cluster, protocol, key


async def test_nodes_of_another_epoch_are_a_cluster_mismatch_at_once() -> None:
    async with LocalCluster(epoch=2) as local:
        stale = msgspec.structs.replace(local.cluster, epoch=1)
        for error in await refusal(stale):
            assert isinstance(error, ClusterMismatch)
            assert error.node in local.node_ids
            assert stale.fingerprint[:12] in str(error)
            assert local.cluster.fingerprint[:12] in str(error)


async def test_a_mismatch_stays_one_while_the_coordinator_asks_again() -> None:
    local = LocalCluster(1, epoch=2)
    stale = msgspec.structs.replace(local.cluster, epoch=1)
    async with local, Coordinator(stale) as coordinator:
        await session_is_gone(coordinator, "node1")
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with pytest.raises(ClusterMismatch):
                await coordinator.acquire("x", wait=0)
            await asyncio.sleep(0)


async def test_one_node_of_another_epoch_is_worked_around_and_named_when_it_matters() -> None:
    async with LocalCluster() as local, LocalCluster(epoch=2) as foreign:
        nodes = (foreign.cluster.nodes[0], *local.cluster.nodes[1:])
        mixed = msgspec.structs.replace(local.cluster, nodes=nodes)
        async with Coordinator(mixed) as coordinator:
            async with coordinator.lock("x", wait=0):
                pass
            await local.kill("node2")
            await connections_are_refused(coordinator, "node2")
            with pytest.raises(QuorumUnavailable) as caught:
                await coordinator.acquire("x", wait=0.1)
    assert "belongs to a different cluster" in caught.value.causes["node1"]
    assert caught.value.causes["node2"] == "connection refused"


async def test_a_node_that_answers_under_another_id_is_a_cluster_mismatch() -> None:
    async with LocalCluster() as local:
        first, second, third = local.cluster.nodes
        crossed = [
            msgspec.structs.replace(one, url=two.url) for one, two in ((first, second), (second, third), (third, first))
        ]
        for error in await refusal(msgspec.structs.replace(local.cluster, nodes=tuple(crossed))):
            assert isinstance(error, ClusterMismatch)
            assert "says it is" in str(error)


async def test_another_protocol_is_a_protocol_mismatch_at_once() -> None:
    async def refuse(socket: Socket) -> None:
        await socket.send_bytes(encode(DownFrame(0, 0, [Refusal("protocol", "this node speaks protocol 7")])))

    async with impostor(refuse) as described:
        for error in await refusal(described):
            assert isinstance(error, ProtocolMismatch)
            assert "this node speaks protocol 7" in str(error)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 403)])
async def test_a_missing_or_wrong_key_is_access_denied_at_once(
    monkeypatch: pytest.MonkeyPatch, key: str | None, status: int
) -> None:
    monkeypatch.delenv("LOCKMANAGER_API_KEY", raising=False)
    async with serving(cluster(keys=("right",))) as node:
        described = only_node(f"http://127.0.0.1:{node.port}")
        for error in await refusal(described, api_key=key):
            assert isinstance(error, AccessDenied)
            assert f"HTTP {status}" in str(error)
            assert "wrong" not in str(error)
        async with Coordinator(described, api_key="right") as coordinator:
            await sessions_are_live(coordinator)


async def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKMANAGER_API_KEY", "right")
    async with (
        serving(cluster(keys=("right",))) as node,
        Coordinator(only_node(f"http://127.0.0.1:{node.port}")) as coordinator,
    ):
        await sessions_are_live(coordinator)
        assert (await coordinator.inspect("x")).causes == {}


# No lock node at all


async def test_a_plain_web_server_is_named_by_its_status() -> None:
    async with running(web.Application()) as url:
        assert await cause(only_node(url)) == "HTTP 404 instead of a session"


async def test_a_redirect_is_not_followed_to_a_session() -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/v1/elsewhere")

    async def there(request: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    app = web.Application()
    app.add_routes([web.get("/v1/session", elsewhere), web.get("/v1/elsewhere", there)])
    async with running(app) as url:
        assert "instead of a session" in await cause(only_node(url))


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\xff" * 500, b"HTTP/1.1 101 Maybe\r\n\r\n", b""])
async def test_a_server_of_another_protocol_has_a_cause(says: bytes) -> None:
    async with raw_server(says) as described:
        assert await cause(described) not in ("", "not connected yet")


async def test_a_server_that_says_nothing_is_named_so() -> None:
    async with raw_server(None) as described:
        assert await cause(described) == "no connection within 1 s"


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (b"\xc1\xc1", "not a frame of protocol 1"),
        (b"", "not a frame of protocol 1"),
        (encode(DownFrame(0, 0, [])), "something else than a welcome"),
        (encode(DownFrame(0, 0, [WELCOME, WELCOME])), "second welcome"),
    ],
)
async def test_a_first_frame_that_is_no_welcome_is_named(frame: bytes, named: str) -> None:
    async def answer(socket: Socket) -> None:
        await socket.send_bytes(frame)
        await socket.receive(timeout=DEADLINE)

    async with impostor(answer) as described:
        assert named in await cause(described)


async def test_a_text_frame_is_named() -> None:
    async def answer(socket: Socket) -> None:
        await socket.send_str("welcome")

    async with impostor(answer) as described:
        assert await cause(described) == "the node sent text where frames are binary"


async def test_a_close_is_named_by_its_reason() -> None:
    async def answer(socket: Socket) -> None:
        await socket.close(code=1001, message=b"this node is stopping")

    async with impostor(answer) as described:
        assert await cause(described) == "the node closed the session: this node is stopping"


async def test_an_oversized_frame_is_not_taken() -> None:
    async def answer(socket: Socket) -> None:
        await socket.send_bytes(bytes(2 << 20))

    async with impostor(answer) as described:
        assert "1048576" in await cause(described)


async def test_a_broken_frame_in_a_live_session_ends_it_and_the_next_one_works() -> None:
    sessions = 0

    async def answer(socket: Socket) -> None:
        nonlocal sessions
        sessions += 1
        await socket.send_bytes(encode(DownFrame(0, 0, [WELCOME])))
        if sessions == 1:
            await socket.send_bytes(b"garbage")
        await socket.receive(timeout=DEADLINE)

    async with impostor(answer) as described, Coordinator(described) as coordinator:
        await session_is_gone(coordinator, NODE_ID)
        assert "not a frame" in coordinator.engine.links([NODE_ID])[NODE_ID][1]
        await sessions_are_live(coordinator)
    assert sessions == 2


async def test_a_node_that_welcomes_and_never_answers_costs_no_more_than_the_wait() -> None:
    async def answer(socket: Socket) -> None:
        await socket.send_bytes(encode(DownFrame(0, 0, [WELCOME])))
        async with asyncio.timeout(DEADLINE):
            while not (await socket.receive()).type.name.startswith("CLOS"):
                continue

    async with impostor(answer) as described, Coordinator(described) as coordinator:
        await sessions_are_live(coordinator)
        for wait in (0, 0.4):
            begin = time.monotonic()
            with pytest.raises(QuorumUnavailable, match="no answer") as caught:
                await coordinator.acquire("x", wait=wait)
            assert not isinstance(caught.value, AcquireTimeout)
            assert time.monotonic() - begin < SOON


async def test_a_node_that_does_not_read_is_given_up_when_too_much_waits_for_it() -> None:
    go_on = asyncio.Event()

    async def answer(socket: Socket) -> None:
        async with asyncio.timeout(DEADLINE):
            await go_on.wait()

    async with impostor(answer) as described:
        connector = WebSocketConnector()
        try:
            connection = await connector(NODE_ID, described.url(NODE_ID, "internal"))
            for _ in range(24):
                connection.send(bytes(FRAME_LIMIT))
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(connection.receive(), DEADLINE)
            connection.send(b"into the void")
            await connection.close()
        finally:
            go_on.set()
            await connector.close()


async def test_a_node_that_hangs_while_much_is_sent_to_it_hears_all_of_it_later() -> None:
    async with LocalCluster() as local, local.coordinator() as coordinator:
        await sessions_are_live(coordinator)
        await local.pause("node1")
        for _ in range(10):
            leases = await asyncio.gather(*(coordinator.acquire(f"{n}/{'x' * 240}", wait=5) for n in range(100)))
            await asyncio.gather(*(lease.release() for lease in leases))
        await local.resume("node1")
        await local.kill("node2")
        async with coordinator.lock(f"0/{'x' * 240}", wait=0):
            pass


async def test_more_than_a_frame_of_requests_at_once_is_no_trouble() -> None:
    async with LocalCluster() as local, local.coordinator() as coordinator:
        await sessions_are_live(coordinator)
        names = [f"{n}/{'x' * 240}" for n in range(4_000)]
        assert sum(map(len, names)) < FRAME_LIMIT < sum(len(name) + 60 for name in names)
        leases = await asyncio.wait_for(asyncio.gather(*map(coordinator.acquire, names)), DEADLINE)
        await asyncio.gather(*(lease.release() for lease in leases))
        assert all(link is Link.LIVE for link, _ in coordinator.engine.links(local.node_ids).values())


async def test_a_coordinator_that_closes_says_goodbye_after_its_last_release() -> None:
    heard: list[str] = []
    over = asyncio.Event()

    async def answer(socket: Socket) -> None:
        await socket.send_bytes(encode(DownFrame(0, 0, [WELCOME])))
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            frame = decode_up(message.data)
            heard.extend(type(request).__name__ for request in frame.messages)
            asked = [request for request in frame.messages if isinstance(request, Acquire)]
            grants = [Granted(one.token, (1, 1), one.ticket, one.ttl, resent=False) for one in asked]
            await socket.send_bytes(encode(DownFrame(frame.sent, 0, [*grants])))
        heard.append(message.type.name)
        for _ in range(50):
            await asyncio.sleep(0)
        heard.append("gone" if socket._req is None or socket._req.transport is None else "waits for the answer")
        over.set()
        await socket.close()

    async with impostor(answer, autoclose=False) as described, asyncio.timeout(DEADLINE):
        async with Coordinator(described) as coordinator:
            lease = await coordinator.acquire("x", ttl=30)
            assert lease.valid
        await over.wait()
    assert heard == ["Acquire", "Release", "CLOSE", "waits for the answer"]
