"""Which of the nodes' addresses a client that started from a URL uses."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from lockmanager import ConfigurationError, Coordinator
from lockmanager.topology import Cluster, NodeAddress
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context


@pytest.fixture
async def public_url() -> AsyncIterator[str]:
    """A node that is reached by its public address only: the one inside leads nowhere."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    address = NodeAddress(id="node1", url="http://node1.invalid:8000", public_url=url)
    server = Server(create_context(Cluster(name="hidden", nodes=(address,)), "node1"))
    await server.start(listener)
    yield url
    await server.stop()


async def test_a_client_that_starts_from_a_public_url_uses_the_public_network(public_url: str) -> None:
    async with Coordinator.discover(public_url) as coordinator, coordinator.lock("a", wait=5) as lease:
        assert lease.valid
        assert (await coordinator.inspect("a")).held


async def test_a_network_given_by_name_is_used_whatever_the_url(public_url: str) -> None:
    async with Coordinator.discover(public_url, network="internal") as coordinator:
        assert coordinator.engine.url("node1") == "http://node1.invalid:8000"


def test_an_unknown_network_in_the_environment_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKMANAGER_NETWORK", "lan")
    with pytest.raises(ConfigurationError, match="LOCKMANAGER_NETWORK is 'lan'"):
        Coordinator.discover("http://127.0.0.1:1")


def test_a_public_url_is_told_from_an_inside_one() -> None:
    cluster = Cluster(
        name="c",
        nodes=(
            NodeAddress(id="node1", url="http://node1:8000", public_url="http://127.0.0.1:8001"),
            NodeAddress(id="node2", url="http://10.0.0.2:8000"),
        ),
    )
    assert cluster.is_public("http://127.0.0.1:8001/")
    assert not cluster.is_public("http://node1:8000")
    assert not cluster.is_public("http://10.0.0.2:8000")
    assert not cluster.is_public("no url")
