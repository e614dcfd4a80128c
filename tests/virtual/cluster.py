"""A whole cluster in virtual time: real nodes that serve real HTTP, real coordinators, wires in between.

Nothing is left out between a lock call and the table of a node but sockets and the clock: aiohttp's client and server,
their parsers, the WebSocket upgrade and the frames as bytes are the ones that users run.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from unittest import mock

import aiohttp.client
from aiohttp import web_app

from lockmanager import Cluster, Coordinator, discovery
from lockmanager.topology import NodeAddress
from lockmanager_node.table import Table
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context
from tests.support.memory_network import LoopClock, SeededRandomness
from tests.virtual.loop import VirtualLoop
from tests.virtual.network import PORT, Network, Place, WireConnector
from tests.virtual.weather import SeededWeather

NODES: Final = ("node1", "node2", "node3")


def cluster_seen_by(client: str = "") -> Cluster:
    """Return the cluster under the names by which a client reaches its nodes."""
    suffix = f".{client}" if client else ""
    addresses = (NodeAddress(id=node, url=f"http://{node}{suffix}:{PORT}") for node in NODES)
    return Cluster(name="virtual", nodes=tuple(addresses))


class VirtualCluster:
    """Three nodes in memory, and whoever asks them."""

    def __init__(self, seed: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.seed = seed
        self.weather = SeededWeather(seed)
        self.network = loop.exchange = Network(self.weather)
        self.nodes: dict[str, Server] = {}
        self._lives = 0
        self._clients = 0

    async def start(self, node: str, *, new_cluster: bool = True) -> None:
        """Start a node that knows nothing; unless the cluster is new, it asks its peers before it grants."""
        self._lives += 1
        context = create_context(
            cluster_seen_by(), node, LoopClock(), new_cluster=new_cluster, incarnation=self._lives, boot="virtual"
        )
        server = self.nodes[node] = Server(context)
        await server.start(cast(socket.socket, Place(node)))

    async def stop(self, node: str) -> None:
        await self.nodes.pop(node).stop()

    async def crash(self, node: str) -> None:
        await self.nodes.pop(node).crash()

    def coordinator(self, client: str, **options: Any) -> Coordinator:
        """Return a coordinator that connects under the client's name."""
        self._clients += 1
        options.setdefault("randomness", SeededRandomness(1_000 * self.seed + self._clients))
        return Coordinator(cluster_seen_by(client), label=client, clock=LoopClock(), **options)

    def discovering(self, node: str) -> Coordinator:
        """Return a coordinator that asks a node for the cluster; it connects without a name."""
        coordinator = Coordinator.discover(f"http://{node}:{PORT}", label="discovering")
        coordinator._clock, coordinator._randomness = LoopClock(), SeededRandomness(self.seed)
        return coordinator

    def tables(self) -> dict[str, Table]:
        """Return what each node that runs knows."""
        return {node: server.context.service.table for node, server in self.nodes.items()}

    def sessions(self) -> dict[str, int]:
        """Return how many sessions and other clients each node knows."""
        return {node: len(server.context.service._recipients) for node, server in self.nodes.items()}

    def what_is_left(self) -> dict[str, tuple[int, int]]:
        """Return the nodes with leases or waiters, and how many."""
        counts = {node: (table.lease_count, table.waiter_count) for node, table in self.tables().items()}
        return {node: count for node, count in counts.items() if count != (0, 0)}


@asynccontextmanager
async def virtual_cluster(seed: int, *, new_cluster: bool = True) -> AsyncIterator[VirtualCluster]:
    """Run a cluster for the length of the block; clients of aiohttp made in it connect over its wires."""
    with (
        mock.patch.object(aiohttp.client, "TCPConnector", WireConnector),
        mock.patch.object(aiohttp, "TCPConnector", WireConnector),
        mock.patch.object(discovery, "_process_memory", discovery.LastGood()),
        # This cache of aiohttp's would keep a thousand applications, and all that they refer to.
        mock.patch.object(web_app, "_cached_build_middleware", web_app._build_middlewares),
    ):
        cluster = VirtualCluster(seed)
        for node in NODES:
            await cluster.start(node, new_cluster=new_cluster)
        try:
            yield cluster
        finally:
            for node in list(cluster.nodes):
                await cluster.stop(node)
