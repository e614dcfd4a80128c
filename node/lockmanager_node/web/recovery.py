"""What a node tells a peer that may have forgotten its leases: `GET /v1/recovery?node=&incarnation=&after=`.

Whoever asks with its node id and its incarnation is remembered, durably, before it is answered: a later incarnation of
the same node then learns that it had a past. Without the two the answer is the same and nothing is remembered.
Leases are told in pages, with the digests of their tokens; `after` of one page asks for the next.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec
from aiohttp import web

from lockmanager.topology import Cluster
from lockmanager.wire import Space, State

from ..books import adoption
from ..lock import Lease
from ..recovery import Report
from ..waking import PAST_KEY
from . import checks, targets
from .context import NodeContext
from .problems import RECOVERY_PATH, bad_field

PAGE: Final = 5_000
"""Leases told at once."""


def routes(context: NodeContext) -> list[web.RouteDef]:
    """Return the route nodes ask each other on."""
    room = _Recovery(context)
    return [web.get(RECOVERY_PATH, room.tell, allow_head=False)]


class _Recovery:
    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._service = context.service

    async def tell(self, request: web.Request) -> web.Response:
        query = targets.strict_query(request, "node", "incarnation", "after")
        after = targets.whole(query.get("after", "0"), "after")
        node, incarnation = self._asker(query)
        if node:
            await self._remember(node, incarnation)
        self._service.expire()
        report = self._report(node, incarnation, after)
        return web.Response(body=msgspec.json.encode(report), content_type="application/json")

    def _asker(self, query: dict[str, str]) -> tuple[str, int]:
        if "node" not in query and "incarnation" not in query:
            return "", 0
        node, known = query.get("node", ""), self._context.cluster.node_ids
        if node not in known or node == self._context.node_id:
            peers = ", ".join(one for one in known if one != self._context.node_id) or "none"
            raise bad_field("node", f"node is the id of a peer ({peers}); {node[:64]!r} is not")
        return node, targets.whole(query.get("incarnation", ""), "incarnation")

    async def _remember(self, node: str, incarnation: int) -> None:
        past, rejoiner = self._context.past, self._context.rejoiner
        if past.is_unknown(node):
            past.note(node, incarnation)
            self._context.journal.note(PAST_KEY + node, str(incarnation))
        if not await self._service.durable():
            raise checks.stopping("the journal of this node failed or does not keep up")
        if rejoiner is not None:
            rejoiner.on_asked(node)

    def _report(self, node: str, incarnation: int, after: int) -> Report:
        table, cluster = self._service.table, self._context.cluster
        leases = (lease for lease in table.leases_after(after) if _concerns(cluster, lease, node))
        page = list(islice(leases, PAGE + 1))
        return Report(
            node=self._context.node_id,
            incarnation=self._context.incarnation,
            fingerprint=cluster.fingerprint,
            recovering=self._service.readiness.state is State.RECOVERING,
            never=table.largest_fence == 0 and not self._context.past.knows_earlier(node, incarnation),
            fence=table.largest_fence,
            leases=[adoption(lease) for lease in page[:PAGE]],
            upto=page[PAGE - 1].number if len(page) > PAGE else table.last_number,
            after=page[PAGE - 1].number if len(page) > PAGE else None,
        )


def _concerns(cluster: Cluster, lease: Lease, node: str) -> bool:
    """Say whether the one who asks helps to decide about this lease; other spaces are one node's own."""
    space, name = lease.waiter.key
    every_node_decides = cluster.replicas == len(cluster.nodes)  # no need to hash a million names to know that
    return space is Space.QUORUM and (not node or every_node_decides or node in cluster.quorum_nodes(name))
