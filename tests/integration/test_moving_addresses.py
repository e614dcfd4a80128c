"""A peer may come back under another address, and another peer under its old one, as containers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockmanager.transport import ConnectionLost, WebSocketConnector
from lockmanager_node.rejoining import http_asking
from tests.support.addresses import Addresses


@pytest.fixture
async def addresses(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Addresses]:
    async with Addresses(monkeypatch) as addresses:
        yield addresses


async def test_a_peer_is_asked_where_it_is_now(addresses: Addresses) -> None:
    old, new = await addresses.listener("node3"), await addresses.listener("node2")
    async with asyncio.timeout(10), http_asking({}) as ask:
        said = []
        for place in (old, new):
            addresses.move("node2", place)
            said.append(await ask("http://node2", {}))
    assert said == [(200, b"node3"), (200, b"node2")]


async def test_a_question_leaves_no_connection_behind(addresses: Addresses) -> None:
    place = await addresses.listener("node2")
    addresses.move("node2", place)
    async with asyncio.timeout(10), http_asking({}) as ask:
        for _ in range(3):
            await ask("http://node2", {})
            await place.closed.acquire()


async def test_a_coordinator_connects_to_a_node_where_it_is_now(addresses: Addresses) -> None:
    connect = WebSocketConnector()
    try:
        for status in (404, 410):
            addresses.move("node2", await addresses.listener("not ready", status=status))
            with pytest.raises(ConnectionLost, match=f"HTTP {status}"):
                await connect("node2", "http://node2")
    finally:
        await connect.close()
