"""A node that can go on no more stops and says why, instead of being there and never answering."""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
from pathlib import Path

import pytest

from lockmanager.topology import Cluster, NodeAddress
from lockmanager_node.journal import DiskJournal
from lockmanager_node.rejoining import Rejoiner
from lockmanager_node.store import Store
from lockmanager_node.waking import owner
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context
from tests.support.node_server import DEADLINE, NODE_ID, FakeClock, cluster

TWO = Cluster(
    name="two", nodes=(NodeAddress("node1", "http://127.0.0.1:1"), NodeAddress("node2", "http://127.0.0.1:2"))
)


async def test_a_fault_in_the_rejoin_stops_the_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(_: Rejoiner) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Rejoiner, "run", faulty)
    server = Server(create_context(TWO, "node1", FakeClock()))
    with caplog.at_level(logging.CRITICAL):
        await server.start(socket.create_server(("127.0.0.1", 0)))
        async with asyncio.timeout(DEADLINE):
            await server.failed.wait()
        await server.stop()
    assert "ZeroDivisionError" in server.failure
    assert "rejoin_failed" in caplog.text


async def test_a_journal_that_cannot_be_written_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Store, __: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    described = cluster()
    journal = await asyncio.to_thread(DiskJournal, tmp_path, owner(described, NODE_ID))
    monkeypatch.setattr(Store, "commit", full)
    server = Server(create_context(described, NODE_ID, FakeClock(), journal=journal))
    with caplog.at_level(logging.CRITICAL):
        await server.start(socket.create_server(("127.0.0.1", 0)))
        async with asyncio.timeout(DEADLINE):
            await server.failed.wait()
        await server.stop()
    assert "disk is full" in server.failure
    assert str(tmp_path) in server.failure
    assert "journal_failed" in caplog.text
