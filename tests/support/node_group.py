"""The nodes of one cluster on loopback ports, in this process, with journals and one clock that tests turn by hand."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from lockmanager.durations import microseconds
from lockmanager.testing.local_cluster import free_ports
from lockmanager.topology import ApiKey, Cluster, NodeAddress
from lockmanager.wire import Acquire, Mode, Space, Token
from lockmanager_node import rejoining
from lockmanager_node.journal import DiskJournal
from lockmanager_node.recovery import SILENCE, Report
from lockmanager_node.waking import owner
from lockmanager_node.web.app import Server
from lockmanager_node.web.life import create_context
from tests.support.node_server import FakeClock, Node, Reply

PAUSE = 0.01
"""Seconds between two rounds of questions here: the clock stands still, so only real time passes between them."""


class Member(Node):
    """One node of a group, in one of its lives."""

    def __init__(self, server: Server, clock: FakeClock, port: int, http: aiohttp.ClientSession) -> None:
        super().__init__(server.context.service, clock, port, http)
        self.server = server
        self.context = server.context

    @property
    def ready(self) -> bool:
        """Whether it grants."""
        return self.service.ready

    async def becomes_ready(self) -> None:
        """Wait until it grants, while the clock stands still."""
        async with asyncio.timeout(10):
            while not self.ready:  # noqa: ASYNC110 - a verdict sets no event
                await asyncio.sleep(PAUSE)

    async def asks_more_rounds(self, rounds: int = 3) -> None:
        """Give it time for some more rounds of questions."""
        await asyncio.sleep(rounds * 3 * PAUSE)

    def hold_shared(self, name: str, token: str, *, ttl: float) -> None:
        """Acquire a quorum lock for reading, as a session would."""
        ticket = self.service.next_ticket()
        wanted = Acquire(Token(token), Space.QUORUM, name, ticket, microseconds(ttl), Mode.SHARED, False, "a reader")
        self.service.handle("a session", wanted)

    async def tells(self, query: str = "", **headers: str) -> Reply:
        """Ask it what it tells its peers."""
        return await self.get("/v1/recovery" + ("?" + query if query else ""), **headers)

    async def reports(self, query: str = "") -> Report:
        """As `tells`, for an answer that must be a report."""
        reply = await self.tells(query)
        assert reply.status == 200, reply.text
        return msgspec.json.decode(reply.text, type=Report)


class Group:
    """All nodes of a cluster; those that were started and not ended are `members`."""

    def __init__(self, cluster: Cluster, directory: Path, http: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self.clock = FakeClock()
        self.members: dict[str, Member] = {}
        self._directory = directory
        self._http = http

    async def start(self, node: str, *, new_cluster: bool = False) -> Member:
        """Start a node on its disk."""
        described = owner(self.cluster, node)
        journal = await asyncio.to_thread(DiskJournal, self._directory / node, described)
        context = create_context(self.cluster, node, self.clock, journal=journal, new_cluster=new_cluster)
        port = int(self.cluster.url(node, "internal").rpartition(":")[2])
        server = Server(context)
        await server.start(socket.create_server(("127.0.0.1", port)))
        self.members[node] = Member(server, self.clock, port, self._http)
        return self.members[node]

    async def start_all(self) -> None:
        """Start every node of a new cluster, and wait until all grant."""
        for node in self.cluster.node_ids:
            await self.start(node)
        for member in self.members.values():
            await member.becomes_ready()

    async def end(self, node: str, *, abruptly: bool = True) -> None:
        """End a node: as SIGKILL would, or in good order."""
        server = self.members.pop(node).server
        await (server.crash() if abruptly else server.stop())

    async def restart(self, node: str, *, abruptly: bool = True) -> Member:
        """End a node and start it with its disk."""
        await self.end(node, abruptly=abruptly)
        return await self.start(node)

    async def replace(self, node: str, *, new_cluster: bool = False) -> Member:
        """End a node, take its disk away, and start it."""
        await self.end(node)
        await asyncio.to_thread(shutil.rmtree, self._directory / node)
        return await self.start(node, new_cluster=new_cluster)

    def end_of_silence(self) -> None:
        """Let the time of a silence pass that begins now."""
        self.clock.advance(SILENCE / 1_000_000)


@asynccontextmanager
async def group(directory: Path, nodes: int = 3, *, keys: tuple[str, ...] = (), **more: Any) -> AsyncIterator[Group]:
    """Give a cluster of which no node runs yet; `more` describes it, as for `Cluster`."""
    addresses = tuple(
        NodeAddress(f"node{number}", f"http://127.0.0.1:{port}") for number, port in enumerate(free_ports(nodes), 1)
    )
    hashed = tuple(ApiKey(f"key{n}", sha256(key.encode()).hexdigest()) for n, key in enumerate(keys))
    cluster = Cluster(name="group", nodes=addresses, api_keys=hashed, **more)
    with _short_pauses():
        async with aiohttp.ClientSession() as http:
            grouped = Group(cluster, directory, http)
            try:
                yield grouped
            finally:
                for node in list(grouped.members):
                    await grouped.end(node, abruptly=False)


@contextmanager
def _short_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
            patch.setattr(rejoining, name, PAUSE)
        yield
