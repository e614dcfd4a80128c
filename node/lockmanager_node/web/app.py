"""The aiohttp application of a node, and the server that runs it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from typing import Final

from aiohttp import web

from lockmanager.clock import Clock, SystemClock
from lockmanager.topology import Cluster
from lockmanager.wire import FRAME_LIMIT, Token, token_from

from ..access import Access
from ..boot import boot_id
from ..journal import DiskJournal, MemoryJournal
from ..limits import Limits
from ..recovery import Past, Verdict
from ..rejoining import Rejoiner
from ..service import Service, log_event
from ..table import Table
from ..waking import ASKS_AS_KEY, BOOT_KEY, SERVED_KEY, asks_as, take_up
from . import classic, health, locks, problems, recovery, session
from .context import NodeContext

log = logging.getLogger("lockmanager_node")

_SHUTDOWN_DEADLINE: Final = 0.5
_DRAIN_DEADLINE: Final = 0.4
_TURNS_TO_ARRIVE: Final = 3
_CONTEXT: Final = web.AppKey("context", NodeContext)


def new_token() -> Token:
    """Return a token from the operating system's random source."""
    return token_from(secrets.token_bytes(64))


def create_context(
    cluster: Cluster,
    node_id: str,
    clock: Clock | None = None,
    *,
    journal: DiskJournal | None = None,
    new_cluster: bool = False,
) -> NodeContext:
    """Make one node; its incarnation is random, so that no earlier life's grant is mistaken for its own.

    With a journal it knows what it knew. Without one, or with an empty one, it is silent until its peers told it what
    is held; `new_cluster` is the operator's word that nothing can be.
    """
    clock = clock or SystemClock()
    incarnation = secrets.randbits(53)
    table = Table(incarnation, Limits.of(cluster.limits), tell=log_event, journaled=journal is not None)
    service = Service(table, clock, journal=journal)
    access = Access(cluster)
    past, rejoiner = Past(), None
    has_past = journal is not None and take_up(journal, table, past, clock.now())
    if has_past and new_cluster:
        log.warning("new_cluster_ignored reason=%s", "the journal of this node knows better; take the option away")
    if not has_past:
        asker = asks_as(journal, incarnation)
        rejoiner = Rejoiner.of(cluster, node_id, asker, clock, key=access.peer_key, new_cluster=new_cluster)
        service.be_silent(rejoiner.readiness)
    return NodeContext(
        service, cluster, node_id, access, clock, new_token, incarnation, journal or MemoryJournal(), past, rejoiner
    )


def create_app(context: NodeContext) -> web.Application:
    """Return the application that serves the node."""
    app = web.Application(client_max_size=FRAME_LIMIT, middlewares=[problems.middleware(context)])
    for room in (locks, classic, health, recovery, session):
        app.add_routes(room.routes(context))
    app[_CONTEXT] = context
    app.on_shutdown.append(_stop)
    return app


async def _stop(app: web.Application) -> None:
    service = app[_CONTEXT].service
    service.stop()
    await service.drained(_DRAIN_DEADLINE)


class Server:
    """A node that listens. `stop` ends it within a second; `failed` is set, with the reason, when its journal fails."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self.failed = asyncio.Event()
        self.failure = ""
        self._rejoining: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None
        self._runner = web.AppRunner(
            create_app(context),
            handler_cancellation=True,
            access_log=None,
            logger=problems.connection_log,
            shutdown_timeout=_SHUTDOWN_DEADLINE,
        )

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket; a node that must ask its peers first does so in the background."""
        self._listener = listener
        journal, rejoiner = self.context.journal, self.context.rejoiner
        if isinstance(journal, DiskJournal):
            journal.attach(asyncio.get_running_loop())
            journal.on_failure = self._journal_failed
        if rejoiner is None:
            self._serve(None)
        elif (verdict := rejoiner.verdict()) is not None:
            self._serve(verdict)
        else:
            self._rejoining = asyncio.create_task(self._rejoin(rejoiner), name="lockmanager rejoin")
            self._rejoining.add_done_callback(self._rejoin_ended)
        async with asyncio.timeout(10):
            await self._runner.setup()
            await web.SockSite(self._runner, listener).start()

    async def _rejoin(self, rejoiner: Rejoiner) -> None:
        """Ask under an incarnation that the next start will ask under too, should this one be interrupted."""
        journal, noted = self.context.journal, asyncio.Event()
        journal.note(ASKS_AS_KEY, str(rejoiner.incarnation))
        journal.sync(noted.set)
        await noted.wait()  # no deadline: a journal that fails stops the node
        self._serve(await rejoiner.run())

    def _rejoin_ended(self, task: asyncio.Task[None]) -> None:
        """Stop a node that a fault of ours would leave silent for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("rejoin_failed", exc_info=error)
            self._fail(f"its rejoin ended with {type(error).__name__}: {error}")

    def _serve(self, verdict: Verdict | None) -> None:
        """Grant from now on. The journal's marks are in one commit with what a new boot or the peers changed, and that
        is synced before the first answer: a node that dies before it begins anew.
        """
        service, journal, rejoiner = self.context.service, self.context.journal, self.context.rejoiner
        journal.note(BOOT_KEY, boot_id())
        journal.note(SERVED_KEY, "yes")
        if rejoiner is None or verdict is None:
            service.start()
        else:
            service.serve(verdict.adoptions, verdict.fence_floor)
            rejoiner.log_verdict(verdict)

    def _journal_failed(self, reason: str) -> None:
        log.critical("journal_failed reason=%s hint=%s", reason, "this node stops; what it did not answer is not given")
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.context.service.fail(reason)
        self.failed.set()

    def abort(self) -> None:
        """Break every connection at once, as a crash would."""
        for connection in self._runner.server.connections if self._runner.server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def stop(self) -> None:
        """Stop granting, let what was decided become durable, tell the sessions to go elsewhere, close everything."""
        await self._end(abruptly=False)

    async def crash(self) -> None:
        """End as SIGKILL would: connections break, and what the journal was not handed is lost."""
        self.abort()
        await self._end(abruptly=True)

    async def _end(self, *, abruptly: bool) -> None:
        journal = self.context.journal
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.wait([self._rejoining], timeout=1)
        if abruptly:
            self.context.service.fail("this node crashed")
            if isinstance(journal, DiskJournal):
                await journal.abandon()
        async with asyncio.timeout(10):
            await self._accept_no_more()
            await self._runner.cleanup()
        if isinstance(journal, DiskJournal) and not abruptly:
            await journal.close()

    async def _accept_no_more(self) -> None:
        """Let connections that were just accepted arrive: asyncio drops the socket of one whose server was closed."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
        for _ in range(_TURNS_TO_ARRIVE):
            await asyncio.sleep(0)
