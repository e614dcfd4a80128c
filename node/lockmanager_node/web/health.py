"""What a node says of itself: alive, ready, and which cluster it belongs to."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lockmanager import topology

from . import checks
from .context import NodeContext


def routes(context: NodeContext) -> list[web.RouteDef]:
    """Return the routes of health and of the cluster document, the one answer that may be cached."""
    document = msgspec.json.encode(topology.document(context.cluster))

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        checks.require_ready(context.service)
        return web.json_response({"status": "ready"})

    async def cluster(_: web.Request) -> web.Response:
        headers = {"Cache-Control": "max-age=60"}
        return web.Response(body=document, content_type="application/json", headers=headers)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/v1/cluster", cluster, allow_head=False)]
