"""The network of a simulation: ways that delay, hold back and break, and sessions that keep their order, as TCP does.

A way leads from one place to another. While it is blocked nothing arrives, and what was sent arrives after it is open
again, unless its session broke meanwhile. Each end of a session learns of its end at a time of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from lockmanager.transport import CONNECT_DEADLINE, ConnectionLost
from lockmanager_node.rejoining import ASK_DEADLINE
from tests.simulation.clockwork import Process, Scheduler

if TYPE_CHECKING:
    from tests.simulation.node import SimNode

Where = tuple[str, str]
Deliver = Callable[[], None]
Trace = Callable[[str, str, bytes], None]

_CLOSE_DEADLINE = 0.5


@dataclass(slots=True)
class Order:
    """What keeps the messages of one direction of one session in order."""

    last: int = 0


@dataclass(slots=True)
class Way:
    """From one place to another; `base` and `jitter` in microseconds, `spike` adds to the next messages."""

    base: int
    jitter: int
    spike: int = 0
    blocked: bool = False
    held: list[tuple[Order, Deliver]] = field(default_factory=list)


class Network:
    """All ways, and everything under way on them."""

    def __init__(self, scheduler: Scheduler, chance: Random, trace: Trace) -> None:
        self.scheduler = scheduler
        self.trace = trace
        self.frames = 0
        self.quiet_at = 0
        self.on_spike: Callable[[str, str, int], None] = lambda _source, _target, _delay: None
        self.on_fault: Callable[[str], None] = lambda _kind: None
        self._chance = chance
        self._ways: dict[Where, Way] = {}
        self.base, self.jitter = chance.choice([(200, 100), (1_000, 1_000), (5_000, 20_000)])

    def way(self, source: str, target: str) -> Way:
        """Return the way from one place to another."""
        way = self._ways.get((source, target))
        if way is None:
            way = self._ways[source, target] = Way(self.base, self.jitter)
        return way

    def carry(self, source: str, target: str, order: Order, deliver: Deliver) -> None:
        """Deliver after a while, after everything sent before on the same session."""
        way = self.way(source, target)
        if way.blocked:
            way.held.append((order, deliver))
            return
        delay = way.base + int(way.jitter * self._chance.random())
        if way.spike:
            self.on_spike(source, target, way.spike)
            delay, way.spike = delay + way.spike, 0
        order.last = max(order.last, self.scheduler.now + delay)
        self.quiet_at = max(self.quiet_at, order.last)
        self.scheduler.at(order.last, deliver)

    def block(self, source: str, target: str) -> None:
        """Let nothing through any more."""
        self.way(source, target).blocked = True

    def open(self, source: str, target: str) -> None:
        """Let everything through again, what was held back first."""
        way = self.way(source, target)
        way.blocked = False
        held, way.held = way.held, []
        for order, deliver in held:
            self.carry(source, target, order, deliver)

    # Connections of clients

    async def connect(self, client: str, process: Process, node: SimNode) -> Connection:
        """Connect within the deadline of the real connector; raises ConnectionLost."""
        answered: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            back = Order()
            if not (node.up and node.listens):
                lost = ConnectionLost("connection refused")
                self.carry(node.name, client, back, partial(process.post, _settle, answered, None, lost))
                return
            connection = Connection(self, client, process, node)
            node.accept(connection)
            self.carry(node.name, client, connection.down, partial(process.post, _settle, answered, connection, None))

        self.carry(client, node.name, Order(), arrive)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                return await answered
        except TimeoutError:
            raise ConnectionLost(f"no connection within {CONNECT_DEADLINE:g} s") from None

    # Questions among nodes

    async def ask(self, asker: SimNode, target: SimNode, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Ask a peer for its report; raises OSError or TimeoutError, as over HTTP."""
        answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        process = asker.process

        def reply(result: tuple[int, bytes] | None, error: Exception | None) -> None:
            self.carry(target.name, asker.name, Order(), partial(process.post, _settle, answered, result, error))

        def arrive() -> None:
            if target.up and target.listens:
                target.answer_question(query, reply)
            else:
                reply(None, ConnectionRefusedError(111, "refused"))

        self.carry(asker.name, target.name, Order(), arrive)
        async with asyncio.timeout(ASK_DEADLINE):
            return await answered


def _settle(future: asyncio.Future[object], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Connection:
    """One session's connection: the coordinator's end is a `lockmanager.transport.Connection`."""

    def __init__(self, network: Network, client: str, process: Process, node: SimNode) -> None:
        self.client = client
        self.node = node
        self.up, self.down = Order(), Order()
        self.broken = False
        self.lose_next_up = self.lose_next_down = False
        self._network = network
        self._process = process
        self._inbox: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._client_open = self._node_open = True
        self._node_closed: asyncio.Event = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether both ends believe in it, and are right."""
        return not self.broken and self._client_open and self._node_open

    # The coordinator's end

    def send(self, data: bytes) -> None:
        if self._client_open and not self.broken and self._process.alive:
            self._carry_up(partial(self._arrive_up, data))

    async def receive(self) -> bytes:
        data = await self._inbox.get()
        if isinstance(data, str):
            raise ConnectionLost(data)
        return data

    def abort(self) -> None:
        if self._client_open and self._process.alive:
            self._network.carry(self.client, self.node.name, self.up, self._tell_node)
        self._client_ends("the connection is gone")

    async def close(self) -> None:
        """Say goodbye after everything sent before; the node answers after everything it sent."""
        if not self._client_open or not self._process.alive:
            return
        self._network.carry(self.client, self.node.name, self.up, self._tell_node)
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self._node_closed.wait()
        except TimeoutError:
            pass
        finally:
            self._client_ends("the connection is gone")

    def _client_ends(self, why: str) -> None:
        if self._client_open:
            self._client_open = False
            self._inbox.put_nowait(why)

    def _carry_up(self, deliver: Deliver) -> None:
        if self.lose_next_up:
            self.broken = True
            self._network.on_fault("request lost")
            return
        self._network.carry(self.client, self.node.name, self.up, deliver)

    def _arrive_up(self, data: bytes) -> None:
        if not self.broken and self._node_open:
            self._network.frames += 1
            self._network.trace(self.client, self.node.name, data)
            self.node.process.post(self.node.receive, self, data)

    # The node's end

    def send_down(self, data: bytes) -> None:
        """Send a frame to the coordinator."""
        if not self._node_open or self.broken:
            return
        if self.lose_next_down:
            self.broken = True
            self._network.on_fault("reply lost")
            return
        self._network.carry(self.node.name, self.client, self.down, partial(self._arrive_down, data))

    def _arrive_down(self, data: bytes) -> None:
        if not self.broken and self._client_open:
            self._network.frames += 1
            self._network.trace(self.node.name, self.client, data)
            self._process.post(self._inbox.put_nowait, data)

    def close_down(self, reason: str) -> None:
        """End it from the node's side, after everything sent before."""
        if self._node_open:
            self._node_open = False
            self._network.carry(self.node.name, self.client, self.down, partial(self._tell_client, reason))

    def node_gone(self) -> None:
        """Let the node's end be gone, without a word to the other."""
        self._node_open = False

    # What each end learns

    def _tell_node(self) -> None:
        if not self.broken and self._node_open:
            self._node_open = False
            self.node.process.post(self.node.disconnected, self)
            self._network.carry(
                self.node.name, self.client, self.down, partial(self._process.post, self._node_closed.set)
            )

    def _tell_client(self, reason: str) -> None:
        self._process.post(self._node_closed.set)
        self._process.post(self._client_ends, reason)

    def break_off(self, client_after: int, node_after: int) -> None:
        """Break it now: what is under way is lost, and each end notices after a time of its own."""
        self.broken = True
        self._network.scheduler.after(client_after, self.client_notices)
        self._network.scheduler.after(node_after, self.node_notices)

    def client_notices(self) -> None:
        """Let the coordinator learn that it broke."""
        self._process.post(self._client_ends, "the connection broke")

    def node_notices(self) -> None:
        """Let the node learn that it broke."""
        if self._node_open:
            self._node_open = False
            if self.node.up:
                self.node.process.post(self.node.disconnected, self)
