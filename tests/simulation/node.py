"""One simulated node: its machine, its disk, and one life after another of the real thing.

Between the sessions and the journal everything is the product's: the life with its rejoin, the service, the table, the
line, the group commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Protocol

import msgspec

from lockmanager.topology import Cluster
from lockmanager.wire import MalformedFrame, Refusal, decode_up
from lockmanager_node.journal import GroupJournal
from lockmanager_node.rejoining import Ask
from lockmanager_node.sessions import Session
from lockmanager_node.table import Table
from lockmanager_node.waking import SERVED_KEY
from lockmanager_node.web.greeting import Refused, admit, answer
from lockmanager_node.web.life import Life, create_context
from lockmanager_node.web.problems import Problem
from lockmanager_node.web.recovery import report_to
from tests.simulation.clockwork import Process, Scheduler, SimClock
from tests.simulation.disk import SimCommitter, SimDisk
from tests.simulation.network import Connection, Network

_DRAIN_DEADLINE = 0.4
_RESET_AFTER = 1_000
Reply = Callable[[tuple[int, bytes] | None, Exception | None], None]


class Watch(Protocol):
    """Who looks at nodes."""

    def node_starts(self, node: SimNode) -> None:
        """Learn that a new life has read its disk."""
        ...

    def node_receives(self, node: SimNode, data: bytes) -> None:
        """Learn what is about to be handed to the node."""
        ...

    def node_sends(self, node: SimNode, data: bytes) -> None:
        """Learn what leaves."""
        ...

    def node_turned(self, node: SimNode) -> None:
        """Look at the node after each turn of its loop."""
        ...

    def went_wrong(self, where: str, what: str) -> None:
        """Take a fault nobody expected."""
        ...


class SimNode:
    """A node that can be killed, restarted, and robbed of its disk."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        scheduler: Scheduler,
        network: Network,
        clock: SimClock,
        *,
        chance: Random,
        journal: bool,
        watch: Watch,
    ) -> None:
        self.name = name
        self.clock = clock
        self.disk = SimDisk(chance, on_fault=lambda kind: network.on_fault(kind)) if journal else None
        self.up = self.listens = False
        self.peers: dict[str, SimNode] = {}
        self.incarnation = 0
        self.incarnations: set[int] = set()
        self.connections: dict[Connection, Session | None] = {}
        self.lives = self.boots = 0
        self.process: Process
        self._cluster, self._scheduler, self._network = cluster, scheduler, network
        self._chance, self._watch = chance, watch
        self._committer: SimCommitter | None = None
        self._life: Life

    # What others ask of it

    @property
    def table(self) -> Table:
        """The table of this life."""
        return self._life.context.service.table

    @property
    def life(self) -> Life:
        """This life, or the last."""
        return self._life

    @property
    def grants(self) -> bool:
        """Whether it is up and knows what it granted."""
        return self.up and self._life.context.service.ready

    @property
    def remembers(self) -> bool:
        """Whether a crash now would not make it ask its peers again: its disk says for sure that it served."""
        if self.disk is None:
            return self.grants
        return self.disk.is_known(SERVED_KEY)

    @property
    def commits_now(self) -> bool:
        """Whether a commit is under way."""
        return self._committer is not None and self._committer.running is not None

    # Life and death

    def start(self) -> None:
        """Begin a life with what the disk knows."""
        self.lives += 1
        self.up = self.listens = True
        self.process = Process(self._scheduler, self.clock, after_turn=self._after_turn, on_error=self._on_error)
        self._committer = SimCommitter(self.disk, self._scheduler, self.process) if self.disk is not None else None
        context = create_context(
            self._cluster,
            self.name,
            self.clock,
            journal=GroupJournal(self._committer) if self._committer is not None else None,
            incarnation=self._chance.getrandbits(53),
            boot=f"boot {self.boots}",
            asking=self._asking,
        )
        self.incarnation = context.incarnation
        self.incarnations.add(self.incarnation)
        self._life = Life(context)
        self._watch.node_starts(self)
        self.process.post(self._life.begin)

    def kill(self) -> None:
        """End the process as SIGKILL would; without a journal it has forgotten everything."""
        if not self.up:
            return
        self.up = False
        if self._committer is not None:
            self._committer.cut_off()
        else:
            self.incarnations.clear()
        for connection in self.connections:
            connection.node_gone()
        self.process.kill()
        self.connections.clear()

    def lose_power(self) -> int:
        """End the machine: what was not synced may be lost; returns how many batches were. Its next boot is another."""
        self.kill()
        self.boots += 1
        self.clock.boot(self._chance.randrange(10_000_000))
        return self.disk.lose_power() if self.disk is not None else 0

    def lose_disk(self) -> None:
        """End the process, and take everything it knew."""
        self.kill()
        if self.disk is not None:
            self.disk.lose()
        self.incarnations.clear()

    def stop(self, then: Callable[[], None]) -> None:
        """End as SIGTERM would; `then` is called when the process has ended."""
        self.process.post(lambda: asyncio.ensure_future(self._stop(then)))

    async def _stop(self, then: Callable[[], None]) -> None:
        service, journal = self._life.context.service, self._life.context.journal
        service.stop()
        await service.drained(_DRAIN_DEADLINE)
        self.listens = False
        for connection in list(self.connections):
            self._close(connection, "this node is stopping")
        if isinstance(journal, GroupJournal):
            await journal.close()
        self._scheduler.after(0, self.kill)
        self._scheduler.after(0, then)

    # Sessions

    def accept(self, connection: Connection) -> None:
        """Take a new connection, whose first frame will be a hello."""
        self.connections[connection] = None

    def receive(self, connection: Connection, data: bytes) -> None:
        """Take a frame; runs in the process."""
        if connection not in self.connections or not self.up:
            return
        self._watch.node_receives(self, data)
        try:
            frame = decode_up(data)
            session = self.connections[connection]
            if session is None:
                send, close = partial(self._send, connection), partial(self._close, connection)
                self.connections[connection] = admit(self._life.context, frame, key_id=None, send=send, close=close)
            elif session.open:
                session.receive(frame)
        except Refused as refused:
            self._send(connection, answer(self._life.context, 0, Refusal(refused.code, str(refused))))
            self._close(connection, str(refused))
        except MalformedFrame as error:
            self._watch.went_wrong(self.name, f"a coordinator sent a malformed frame: {error}")

    def disconnected(self, connection: Connection) -> None:
        """Learn that a connection is gone; runs in the process."""
        session = self.connections.pop(connection, None)
        if session is not None:
            self._life.context.service.disconnect(session)

    def _send(self, connection: Connection, data: bytes) -> None:
        self._watch.node_sends(self, data)
        connection.send_down(data)

    def _close(self, connection: Connection, reason: str) -> None:
        connection.close_down(reason)
        self.process.post(self.disconnected, connection)

    # Questions among nodes

    @asynccontextmanager
    async def _asking(self, _headers: Mapping[str, str]) -> AsyncIterator[Ask]:
        async def ask(url: str, query: Mapping[str, str]) -> tuple[int, bytes]:
            target = url.removeprefix("http://").partition(":")[0]
            return await self._network.ask(self, self.peers[target], query)

        yield ask

    def answer_question(self, query: Mapping[str, str], reply: Reply) -> None:
        """Tell a peer what is held here; called by the network."""
        self.process.post(lambda: asyncio.ensure_future(self._tell(query, reply)))

    async def _tell(self, query: Mapping[str, str], reply: Reply) -> None:
        try:
            report = await report_to(self._life.context, query["node"], int(query["incarnation"]), int(query["after"]))
        except Problem as problem:
            reply((problem.status, b""), None)
        else:
            reply((200, msgspec.json.encode(report)), None)

    # Being watched

    def _after_turn(self) -> None:
        if not self.up:
            return
        if self._life.failed.is_set():
            connections = list(self.connections)
            self.kill()
            for connection in connections:
                self._scheduler.after(_RESET_AFTER, connection.client_notices)
            return
        self._watch.node_turned(self)

    def _on_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.up:
            self._watch.went_wrong(self.name, f"{context.get('message')}: {context.get('exception')!r}")
