"""The aiohttp application of a node, and the server that runs it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Final

from aiohttp import web

from lockmanager.clock import Clock, SystemClock
from lockmanager.topology import Cluster
from lockmanager.wire import FRAME_LIMIT, Token, token_from

from ..access import Access
from ..limits import Limits
from ..service import Service, log_event
from ..table import Table
from . import classic, health, locks, problems, session
from .context import NodeContext

_SHUTDOWN_DEADLINE: Final = 0.5
_TURNS_TO_ARRIVE: Final = 3
_CONTEXT: Final = web.AppKey("context", NodeContext)


def new_token() -> Token:
    """Return a token from the operating system's random source."""
    return token_from(secrets.token_bytes(64))


def create_context(cluster: Cluster, node_id: str, clock: Clock | None = None) -> NodeContext:
    """Make one node in memory; its incarnation is random, so that no earlier life's grant is mistaken for its own."""
    clock = clock or SystemClock()
    incarnation = secrets.randbits(53)
    service = Service(Table(incarnation, Limits.of(cluster.limits), tell=log_event), clock)
    return NodeContext(service, cluster, node_id, Access(cluster), clock, new_token, incarnation)


def create_app(context: NodeContext) -> web.Application:
    """Return the application that serves the node."""
    app = web.Application(client_max_size=FRAME_LIMIT, middlewares=[problems.middleware(context)])
    for room in (locks, classic, health, session):
        app.add_routes(room.routes(context))
    app[_CONTEXT] = context
    app.on_shutdown.append(_stop)
    return app


async def _stop(app: web.Application) -> None:
    app[_CONTEXT].service.stop()


class Server:
    """A node that listens. `stop` ends it within a second."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self._listener: socket.socket | None = None
        self._runner = web.AppRunner(
            create_app(context),
            handler_cancellation=True,
            access_log=None,
            logger=problems.connection_log,
            shutdown_timeout=_SHUTDOWN_DEADLINE,
        )

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket."""
        self._listener = listener
        async with asyncio.timeout(10):
            await self._runner.setup()
            await web.SockSite(self._runner, listener).start()

    def abort(self) -> None:
        """Break every connection at once, as a crash would."""
        for connection in self._runner.server.connections if self._runner.server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    async def stop(self) -> None:
        """Stop granting, tell the sessions to go elsewhere, close everything."""
        async with asyncio.timeout(10):
            await self._accept_no_more()
            await self._runner.cleanup()

    async def _accept_no_more(self) -> None:
        """Let connections that were just accepted arrive: asyncio drops the socket of one whose server was closed."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
        for _ in range(_TURNS_TO_ARRIVE):
            await asyncio.sleep(0)
