"""Run one lock node: `python -m lockmanager_node --cluster cluster.yaml --node-id node1`."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence

from .config import ConfigError, NodeConfig, load
from .web.app import Server, create_context

log = logging.getLogger("lockmanager_node")

EX_CONFIG = 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until SIGTERM or SIGINT; `argv` defaults to the command line's. Returns the exit status."""
    try:
        config = load(argv)
        listener = _listen(config)
    except ConfigError as error:
        print(f"lockmanager: {error}", file=sys.stderr)
        return EX_CONFIG
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    return _run(config, listener)


def _run(config: NodeConfig, listener: socket.socket) -> int:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(config, listener))
    else:
        uvloop.run(_serve(config, listener))
    return 0


def _listen(config: NodeConfig) -> socket.socket:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((config.host, config.port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another --listen HOST:PORT"
        ) from None


async def _serve(config: NodeConfig, listener: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(create_context(config.cluster, config.node_id))
    await server.start(listener)
    log.info("node_started node=%s listen=%s:%d", config.node_id, config.host, config.port)
    await stop.wait()
    await server.stop()
    log.info("node_stopped node=%s", config.node_id)


if __name__ == "__main__":
    sys.exit(main())
