"""Frames handed over as they arrive: what aiohttp must have for it, and that all works without it."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager import Coordinator, transport
from lockmanager.testing import LocalCluster
from lockmanager.transport import ConnectionLost, WebSocketConnector, read_frames
from lockmanager.wire import (
    PROTOCOL,
    Acquire,
    DownFrame,
    Granted,
    Hello,
    Mode,
    Space,
    Token,
    UpFrame,
    Welcome,
    decode_down,
    encode,
)
from tests.support.node_server import DEADLINE, cluster, serving


@pytest.fixture(params=["as they arrive", "by receive"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let frames arrive either way."""
    if request.param == "by receive":
        monkeypatch.setattr(transport, "install", lambda _socket: None)
    return str(request.param)


async def test_this_aiohttp_lets_frames_be_handed_over_as_they_arrive(way: str) -> None:
    connector = WebSocketConnector()
    async with serving() as node:
        connection = await connector("node1", f"http://127.0.0.1:{node.port}")
        assert (vars(connection)["_arrivals"] is not None) == (way == "as they arrive")
        await connection.close()
        await connector.close()


async def test_a_lock_is_acquired_and_released() -> None:
    async with LocalCluster(3) as local, Coordinator(local.cluster) as coordinator:
        async with asyncio.timeout(DEADLINE):
            for number in range(5):
                async with coordinator.lock(f"orders/{number}") as lease:
                    assert lease.valid


async def test_what_the_receiver_raises_ends_the_connection_and_is_raised() -> None:
    connector = WebSocketConnector()
    frames: list[DownFrame] = []

    def take(data: bytes) -> None:
        frames.append(decode_down(data))
        if isinstance(frames[-1].messages[0], Granted):
            raise KeyError("a fault of the receiver")

    async with serving() as node, asyncio.timeout(DEADLINE):
        connection = await connector("node1", f"http://127.0.0.1:{node.port}")
        connection.send(encode(UpFrame(1, [Hello(PROTOCOL, cluster().fingerprint, "s" * 32, "ann")])))
        wall = node.clock.wall()
        acquire = Acquire(Token("t" * 32), Space.QUORUM, "x", wall, 10_000_000, Mode.EXCLUSIVE, True, "ann")
        connection.send(encode(UpFrame(2, [acquire])))
        with pytest.raises(KeyError, match="a fault of the receiver"):
            await read_frames(connection, take)
        assert [type(frame.messages[0]) for frame in frames] == [Welcome, Granted]
        await connection.close()
        await connector.close()


async def test_a_node_that_goes_away_ends_the_reading() -> None:
    connector = WebSocketConnector()
    async with asyncio.timeout(DEADLINE):
        async with serving() as node:
            connection = await connector("node1", f"http://127.0.0.1:{node.port}")
            reading = asyncio.create_task(read_frames(connection, lambda _data: None))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost):
            await reading
        await connection.close()
        await connector.close()
