"""The aiohttp application of a node, and the server that runs it."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from aiohttp import web

from lockmanager.wire import FRAME_LIMIT

from ..journal import GroupJournal
from . import classic, health, locks, problems, recovery, session
from .context import NodeContext
from .life import Life

log = logging.getLogger("lockmanager_node")

_SHUTDOWN_DEADLINE: Final = 0.5
_DRAIN_DEADLINE: Final = 0.4
_TURNS_TO_ARRIVE: Final = 3
_CONTEXT: Final = web.AppKey("context", NodeContext)


def create_app(context: NodeContext) -> web.Application:
    """Return the application that serves the node."""
    app = web.Application(client_max_size=FRAME_LIMIT, middlewares=[problems.middleware(context)])
    for room in (locks, classic, health, recovery, session):
        app.add_routes(problems.expecting(route) for route in room.routes(context))
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
        self._life = Life(context)
        self._listener: socket.socket | None = None
        self._runner = web.AppRunner(
            create_app(context),
            handler_cancellation=True,
            access_log=None,
            logger=problems.connection_log,
            shutdown_timeout=_SHUTDOWN_DEADLINE,
        )

    @property
    def failed(self) -> asyncio.Event:
        """Set when the node cannot go on."""
        return self._life.failed

    @property
    def failure(self) -> str:
        """Why it cannot."""
        return self._life.failure

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket; a node that must ask its peers first does so in the background."""
        self._listener = listener
        self._life.begin()
        async with asyncio.timeout(10):
            await self._runner.setup()
            await web.SockSite(self._runner, listener).start()

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
        await self._life.end(abruptly=abruptly)
        async with asyncio.timeout(10):
            await self._accept_no_more()
            await self._runner.cleanup()
        if isinstance(journal, GroupJournal) and not abruptly:
            await journal.close()

    async def _accept_no_more(self) -> None:
        """Let connections that were just accepted arrive: asyncio drops the socket of one whose server was closed."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
        for _ in range(_TURNS_TO_ARRIVE):
            await asyncio.sleep(0)
