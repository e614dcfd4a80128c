"""A peer that does not read, and a backlog that outgrows what may wait for a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop

from lockmanager.ballot import Link
from lockmanager.channel import Channel
from lockmanager.clock import SystemClock
from lockmanager.transport import WebSocketConnector
from lockmanager.wire import PROTOCOL, SEND_BUFFER_LIMIT, Answer, Hello, Release, Token
from tests.support.node_server import cluster, eventually, serving

_pack = msgspec.msgpack.encode


def _hello() -> Hello:
    return Hello(PROTOCOL, cluster().fingerprint, "s" * 32, "deaf")


async def _read_nothing() -> None:
    async with serving() as node, aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"http://127.0.0.1:{node.port}/v1/session")
        await socket.send_bytes(_pack([1, [_hello()]]))
        await socket.receive()
        assert socket._conn is not None
        transport = socket._conn.transport
        assert transport is not None
        transport.pause_reading()
        releases = _pack([1, [Release(Token("r" * 32))] * 20_000])
        for _ in range(8 * SEND_BUFFER_LIMIT // len(releases)):
            with contextlib.suppress(ConnectionError):  # the node gave us up
                await socket.send_bytes(releases)
        await eventually(lambda: not node.service._recipients)
        transport.abort()
        await socket.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_session_that_does_not_read_is_closed_on_either_event_loop(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    run(_read_nothing())


class _Hub:
    """Takes note of what comes and goes, and wants nothing."""

    def __init__(self) -> None:
        self.links: list[tuple[str, Link, str]] = []

    def on_link(self, node: str, link: Link, cause: str) -> None:
        self.links.append((node, link, cause))

    def on_answers(self, node: str, echo: int, largest_ticket: int, answers: list[Answer]) -> None:
        """Answers are not what this is about."""

    def on_beat(self) -> None:
        """Nor is time."""

    def shortest_ttl(self) -> int | None:
        return None


async def test_a_node_comes_back_however_many_releases_wait_for_it() -> None:
    hub, waiting = _Hub(), 4 * SEND_BUFFER_LIMIT // 100
    async with serving() as node:
        connector = WebSocketConnector()
        url = f"http://127.0.0.1:{node.port}"
        channel = Channel("node1", url, _hello(), hub, connector=connector, clock=SystemClock(), jitter=lambda: 0.5)
        for number in range(waiting):
            channel._releases.ask(Token(f"{number:032}"))
            channel.release(Release(Token(f"{number:032}")), 600_000_000, 0)
        task = asyncio.create_task(channel.run())
        await eventually(lambda: len(channel._releases) == 0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        await connector.close()
    assert hub.links == [("node1", Link.LIVE, "")], "the session held"
