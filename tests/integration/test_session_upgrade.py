"""Connections that end in the middle of becoming a session."""

from __future__ import annotations

import logging
import socket
from urllib.parse import urlsplit

import pytest

from lockmanager.testing import LocalCluster

UPGRADE = (
    b"GET /v1/session HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_client_that_left_before_its_upgrade_was_answered_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with LocalCluster(1) as local:
        address = urlsplit(local.urls["node1"])
        await local.pause("node1")
        with socket.create_connection((address.hostname or "", address.port or 0)) as leaver:
            leaver.sendall(UPGRADE)
            leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await local.resume("node1")
        async with local.coordinator() as coordinator, coordinator.lock("a", wait=5):
            pass
        await local.stop("node1")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
