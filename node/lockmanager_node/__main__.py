"""Run one lock node: `python -m lockmanager_node --cluster cluster.yaml --node-id node1`."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Sequence

from .config import ConfigError, NodeConfig, load
from .journal import DiskJournal
from .store import JournalRefused
from .waking import open_journal
from .web.app import Server
from .web.life import create_context

log = logging.getLogger("lockmanager_node")

_SWITCH_INTERVAL = 0.0005
"""Seconds a busy event loop may keep the journal's thread from running."""

EX_DATAERR = 65
EX_IOERR = 74
EX_CONFIG = 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until SIGTERM or SIGINT; `argv` defaults to the command line's. Returns the exit status."""
    try:
        config = load(argv)
        listener = _listen(config)
    except ConfigError as error:
        return _refuse(error, EX_CONFIG)
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    try:
        journal = open_journal(config)
    except JournalRefused as error:
        return _refuse(error, EX_DATAERR)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        status = _run(config, listener, journal)
    except JournalRefused as error:
        return _refuse(error, EX_DATAERR)
    gc.freeze()  # nothing is left to do: looking once more through a full table would take the interpreter seconds
    return status


def _refuse(error: Exception, status: int) -> int:
    print(f"lockmanager: {error}", file=sys.stderr)
    return status


def _run(config: NodeConfig, listener: socket.socket, journal: DiskJournal | None) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(config, listener, journal))
    return uvloop.run(_serve(config, listener, journal))


def _listen(config: NodeConfig) -> socket.socket:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another --listen HOST:PORT"
        ) from None


async def _serve(config: NodeConfig, listener: socket.socket, journal: DiskJournal | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    context = create_context(config.cluster, config.node_id, journal=journal, new_cluster=config.new_cluster)
    server = Server(context)
    await server.start(listener)
    log.info("node_started node=%s listen=%s:%d", config.node_id, config.host, config.port)
    ends = [asyncio.create_task(event.wait()) for event in (stop, server.failed)]
    # No deadline: the node runs until it is told to end, or its journal fails.
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    await server.stop()
    log.info("node_stopped node=%s", config.node_id)
    if not server.failure:
        return 0
    print(f"lockmanager: this node stopped: {server.failure}", file=sys.stderr)
    return EX_IOERR


if __name__ == "__main__":
    sys.exit(main())
