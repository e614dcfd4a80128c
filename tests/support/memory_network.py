"""Nodes, coordinators and the network between them in one process and in virtual time, without sockets.

Everything above the transport is the real thing: the coordinators' channels, frames as bytes, the nodes' services and
tables. The network can delay, lose and break, and counts the messages that cross it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lockmanager import Cluster, Coordinator
from lockmanager.topology import NodeAddress
from lockmanager.transport import Connection, ConnectionLost
from lockmanager.wire import (
    DownFrame,
    Hello,
    State,
    Token,
    UpFrame,
    Welcome,
    decode_down,
    decode_up,
    encode,
    token_from,
)
from lockmanager_node.service import Service
from lockmanager_node.sessions import Peer, Session
from lockmanager_node.table import Table


async def time_passes(seconds: float) -> None:
    """Let virtual time pass: nothing waits, the clock of the event loop is moved."""
    await asyncio.sleep(seconds)


class LoopClock:
    """The event loop's (virtual) time, and a wall clock that may be wrong."""

    def __init__(self, skew: int = 0) -> None:
        self._skew = skew

    def now(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000_000)

    def wall(self) -> int:
        return 1_700_000_000_000_000 + self._skew + self.now()


class SeededRandomness:
    """Tokens and jitter that are the same in every run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.tokens: list[Token] = []

    def token(self) -> Token:
        self.tokens.append(token_from(self._random.randbytes(64)))
        return self.tokens[-1]

    def jitter(self) -> float:
        return self._random.random()


class MemoryNode:
    """One life after another of one node; its leases are forgotten in between."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.skew = 0
        self.lives = 0
        self.up = False
        self.connections: list[MemoryConnection] = []
        self.start()

    def start(self) -> None:
        if not self.up:
            self.lives += 1
            self.up = True
            self.service = Service(Table(incarnation=self.lives), LoopClock(self.skew))

    def crash(self) -> None:
        """Break every connection and forget everything."""
        self.up = False
        for connection in list(self.connections):
            connection.break_off()
        self.service.stop()

    @property
    def table(self) -> Table:
        return self.service.table

    def is_empty(self) -> bool:
        """Whether nobody holds anything here or waits for anything."""
        return self.table.lease_count == 0 and self.table.waiter_count == 0


@dataclass
class MemoryConnection:
    """One session's two directions, each first in, first out."""

    network: MemoryNetwork
    client: str
    node: MemoryNode
    alive: bool = True
    session: Session | None = None
    inbox: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    # The coordinator's end

    def send(self, data: bytes) -> None:
        if self.alive:
            self.network.carry(self.client, self.node.node, lambda: self._arrive_up(data))

    async def receive(self) -> bytes:
        data = await self.inbox.get()
        if data is None:
            raise ConnectionLost("the connection broke")
        return data

    def abort(self) -> None:
        self.break_off()

    async def close(self) -> None:
        """A polite end: what was sent before arrives first."""
        if self.alive:
            self.network.carry(self.client, self.node.node, self.break_off)

    # The node's end

    def _arrive_up(self, data: bytes) -> None:
        if not self.alive or not self.node.up:
            return
        frame = decode_up(data)
        if self.session is None:
            hello = frame.messages[0]
            assert isinstance(hello, Hello)
            peer = Peer(hello.session_id, hello.label, None, self._send_down, lambda _reason: self.break_off())
            self.session = self.node.service.connect(peer, frame.sent)
            welcome = Welcome(self.node.node, self.node.lives, State.SERVING)
            self._send_down(encode(DownFrame(frame.sent, self.node.table.largest_ticket, [welcome])))
            frame = UpFrame(frame.sent, frame.messages[1:])
            if not frame.messages:
                return
        self.network.count(self.node.node, frame)
        self.session.receive(frame)

    def _send_down(self, data: bytes) -> None:
        if self.alive:
            self.network.carry(self.node.node, self.client, lambda: self._arrive_down(data))

    def _arrive_down(self, data: bytes) -> None:
        if self.alive:
            self.network.count(self.node.node, decode_down(data))
            self.inbox.put_nowait(data)

    def break_off(self) -> None:
        if self.alive:
            self.alive = False
            self.node.connections.remove(self)
            self.inbox.put_nowait(None)
            if self.session is not None and self.node.up:
                self.node.service.disconnect(self.session)


class MemoryNetwork:
    """`nodes` nodes and any number of coordinators; `delay` seconds each way."""

    def __init__(self, nodes: int, *, delay: float = 0.001) -> None:
        self.nodes = {f"node{n}": MemoryNode(f"node{n}") for n in range(1, nodes + 1)}
        self.delay = delay
        self.messages: Counter[tuple[str, str]] = Counter()
        self.frames = 0
        self.cut_off: set[frozenset[str]] = set()
        self.held_back: Callable[[str, str, Callable[[], None]], bool] | None = None
        self.cluster = Cluster(
            name="memory", nodes=tuple(NodeAddress(id=node, url=f"http://{node}:8000") for node in self.nodes)
        )
        self._clients = 0
        self._ways: defaultdict[tuple[str, str], deque[Callable[[], None]]] = defaultdict(deque)

    def coordinator(self, name: str = "", *, seed: int | None = None, skew: int = 0, **options: Any) -> Coordinator:
        """Return a coordinator of these nodes; `skew` (microseconds) puts its wall clock wrong."""
        self._clients += 1
        client = name or f"client{self._clients}"

        async def connect(node: str, url: str) -> Connection:
            return await self._connect(client, node)

        options.setdefault("clock", LoopClock(skew))
        randomness = SeededRandomness(self._clients if seed is None else seed)
        return Coordinator(self.cluster, label=client, connector=connect, randomness=randomness, **options)

    async def _connect(self, client: str, node: str) -> Connection:
        if self.is_cut(client, node):
            await time_passes(1.0)
            raise ConnectionLost("no connection within 1 s")
        await time_passes(self.delay)
        if not self.nodes[node].up:
            raise ConnectionLost("connection refused")
        connection = MemoryConnection(self, client, self.nodes[node])
        self.nodes[node].connections.append(connection)
        return connection

    def is_cut(self, client: str, node: str) -> bool:
        return frozenset((client, node)) in self.cut_off

    def cut(self, client: str, *nodes: str) -> None:
        """Lose everything between them, in silence."""
        self.cut_off |= {frozenset((client, node)) for node in nodes}

    def heal(self, client: str, *nodes: str) -> None:
        """Let frames through again; what was lost stays lost, and so do the connections it was lost on."""
        self.cut_off -= {frozenset((client, node)) for node in nodes}

    def carry(self, sender: str, receiver: str, arrive: Callable[[], None]) -> None:
        """Deliver after the delay, unless the way is cut or a test holds the frame back."""
        self.frames += 1
        if self.is_cut(sender, receiver):
            return
        if self.held_back is None or not self.held_back(sender, receiver, arrive):
            way = self._ways[sender, receiver]
            way.append(arrive)
            # Timers due at the same instant fire in no promised order; a way is first in, first out.
            asyncio.get_running_loop().call_later(self.delay, lambda: way.popleft()())

    def count(self, node: str, frame: UpFrame | DownFrame) -> None:
        for message in frame.messages:
            self.messages[node, type(message).__name__] += 1

    def sent_by_node(self) -> dict[str, int]:
        """Return how many messages crossed between each node and its clients, in both directions."""
        totals: Counter[str] = Counter()
        for (node, _), count in self.messages.items():
            totals[node] += count
        return dict(totals)

    def is_empty(self) -> bool:
        """Whether no node that is up has a lease or a waiter."""
        return all(node.is_empty() for node in self.nodes.values() if node.up)
