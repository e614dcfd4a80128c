"""Connections that fall silent: pinged by the node, kept while they answer, dropped when they do not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType

from lockmanager.wire import PROTOCOL, Hello
from lockmanager_node.web import session
from tests.support.node_server import DEADLINE, cluster, eventually, serving

_pack = msgspec.msgpack.encode


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.02)


@asynccontextmanager
async def greeted(*, autoping: bool) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Sized]]:
    """Give a session the node has welcomed, and whom the node knows."""
    async with serving() as node, aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"http://127.0.0.1:{node.port}/v1/session", autoping=autoping)
        await socket.send_bytes(_pack([1, [Hello(PROTOCOL, cluster().fingerprint, "s" * 32, "quiet")]]))
        assert (await socket.receive()).type is WSMsgType.BINARY
        yield socket, node.service._recipients
        await socket.close()


async def test_a_silent_connection_is_pinged_and_dropped_when_it_does_not_answer() -> None:
    async with greeted(autoping=False) as (socket, known):
        assert (await socket.receive(timeout=DEADLINE)).type is WSMsgType.PING
        await eventually(lambda: not known)


@pytest.mark.parametrize("answers_pings", [True, False], ids=["answers pings", "sends frames"])
async def test_a_connection_that_gives_a_sign_of_life_after_each_ping_is_kept(
    answers_pings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.2)
    async with greeted(autoping=False) as (socket, known):
        for _ in range(3):
            while (message := await socket.receive(timeout=DEADLINE)).type is not WSMsgType.PING:
                assert message.type is WSMsgType.BINARY
            await (socket.pong(message.data) if answers_pings else socket.send_bytes(_pack([1, []])))
        assert len(known) == 1


async def test_a_ping_of_the_other_side_is_answered() -> None:
    async with greeted(autoping=False) as (socket, _):
        await socket.ping(b"are you there")
        while (message := await socket.receive(timeout=DEADLINE)).type is WSMsgType.PING:
            await socket.pong(message.data)
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")
