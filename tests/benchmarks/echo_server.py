"""A TCP server that sends back what it gets: what any lock server costs at least.

python -m tests.benchmarks.echo_server   (says its port; ends when its standard input is closed)
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from .serving import until_input_ends


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await until_input_ends()


if __name__ == "__main__":
    uvloop.run(_serve())
