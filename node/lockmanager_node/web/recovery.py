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

    async def tell(request: web.Request) -> web.Response:
        query = targets.strict_query(request, "node", "incarnation", "after")
        after = targets.whole(query.get("after", "0"), "after")
        node, incarnation = _asker(context, query)
        report = await report_to(context, node, incarnation, after)
        return web.Response(body=msgspec.json.encode(report), content_type="application/json")

    return [web.get(RECOVERY_PATH, tell, allow_head=False)]


def _asker(context: NodeContext, query: dict[str, str]) -> tuple[str, int]:
    if "node" not in query and "incarnation" not in query:
        return "", 0
    node, known = query.get("node", ""), context.cluster.node_ids
    if node not in known or node == context.node_id:
        peers = ", ".join(one for one in known if one != context.node_id) or "none"
        raise bad_field("node", f"node is the id of a peer ({peers}); {node[:64]!r} is not")
    return node, targets.whole(query.get("incarnation", ""), "incarnation")


async def report_to(context: NodeContext, node: str, incarnation: int, after: int) -> Report:
    """Tell a peer (or nobody in particular, for an empty `node`) what is held here after lease number `after`.

    Raises the problem 503 when the journal does not keep up.
    """
    if node:
        await _remember(context, node, incarnation)
    context.service.expire()
    return _report(context, node, incarnation, after)


async def _remember(context: NodeContext, node: str, incarnation: int) -> None:
    if context.past.is_unknown(node):
        context.past.note(node, incarnation)
        context.journal.note(PAST_KEY + node, str(incarnation))
    if not await context.service.durable():
        raise checks.stopping("the journal of this node failed or does not keep up")
    if context.rejoiner is not None:
        context.rejoiner.on_asked(node)


def _report(context: NodeContext, node: str, incarnation: int, after: int) -> Report:
    table, cluster = context.service.table, context.cluster
    leases = (lease for lease in table.leases_after(after) if _concerns(cluster, lease, node))
    page = list(islice(leases, PAGE + 1))
    return Report(
        node=context.node_id,
        incarnation=context.incarnation,
        fingerprint=cluster.fingerprint,
        recovering=context.service.readiness.state is State.RECOVERING,
        never=table.largest_fence == 0 and not context.past.knows_earlier(node, incarnation),
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
