"""An aiohttp server that decides nothing: it reads a small JSON body and answers a small JSON body.

python -m tests.benchmarks.empty_http   (says its port; ends when its standard input is closed)
"""

from __future__ import annotations

import asyncio
import socket

import uvloop
from aiohttp import web

from .serving import until_input_ends


async def _answer(request: web.Request) -> web.Response:
    body = await request.json()
    return web.json_response({"name": body["name"], "token": "0" * 32, "fence": 1, "ttl": 30.0})


async def _serve() -> None:
    app = web.Application()
    app.add_routes([web.post("/v1/acquire", _answer), web.post("/v1/release", _answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    async with asyncio.timeout(10):
        await runner.setup()
        await web.SockSite(runner, listener).start()
    print(listener.getsockname()[1], flush=True)
    await until_input_ends()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve())
