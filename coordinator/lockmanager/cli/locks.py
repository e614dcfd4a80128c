"""`lockmanager locks`: who holds what, put together from what every node says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import click

from ..topology import Cluster
from .asking import Holder, NodeView, ask_all
from .exits import Exit
from .messages import log_errors_only, say
from .tables import show_table
from .target import Target, with_target


@dataclass(frozen=True, slots=True)
class Holding:
    """A holder of a lock in the whole cluster: on how many of the lock's nodes it stands, longest time left there."""

    label: str
    mode: str
    fence: int
    nodes: int
    remaining: float


@dataclass(frozen=True, slots=True)
class LockView:
    """A lock in the whole cluster. `node` is None except in the space of single nodes, `of` the nodes that decide.

    A holder on fewer than a majority of them does not hold a quorum lock: it is on its way in or out.
    """

    name: str
    space: str
    node: str | None
    of: int
    waiting: int
    holders: tuple[Holding, ...]


@click.command()
@click.option("--prefix", default="", help="only locks whose names begin so")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@with_target
def locks(target: Target, prefix: str, as_json: bool) -> int:  # noqa: FBT001  # click passes by keyword
    """Show which locks are held and waited for, cluster-wide; exit with 69 when fewer than a majority answered.

    What it shows may have changed by the time it is read.
    """
    log_errors_only()
    cluster, views = asyncio.run(ask_all(target, prefix=prefix))
    found = merged(cluster, views)
    if as_json:
        click.echo(json.dumps({"locks": [asdict(lock) for lock in found], "missing": _missing(views)}))
    else:
        show_table(("lock", "space", "holder", "mode", "#fence", "nodes", "#left", "#waiting"), _rows(found))
    return _verdict(views)


def merged(cluster: Cluster, views: Iterable[NodeView]) -> list[LockView]:
    """Return the locks of all nodes as one list, sorted by name. Pure.

    Locks of the node space belong to their node alone and are not merged.
    """
    holders: dict[tuple[str, str, str], dict[str, list[Holder]]] = {}
    waiting: dict[tuple[str, str, str], int] = {}
    for view in views:
        for lock in view.locks:
            key = (lock.name, lock.space, view.id if lock.space == "node" else "")
            waiting[key] = max(lock.waiting, waiting.get(key, 0))
            for holder in lock.holders:
                holders.setdefault(key, {}).setdefault(holder.token_hash, []).append(holder)
    return [
        LockView(name, space, node or None, cluster.replicas if space == "quorum" else 1, count, _holdings(found))
        for (name, space, node), count in sorted(waiting.items())
        for found in [holders.get((name, space, node), {})]
    ]


def _holdings(found: dict[str, list[Holder]]) -> tuple[Holding, ...]:
    holdings = [
        Holding(seen[0].label, seen[0].mode, max(one.fence for one in seen), len(seen), max(o.remaining for o in seen))
        for seen in found.values()
    ]
    return tuple(sorted(holdings, key=lambda holding: (-holding.nodes, holding.fence, holding.label)))


def _rows(found: Iterable[LockView]) -> Iterable[tuple[object, ...]]:
    for lock in found:
        space = lock.space if lock.node is None else f"{lock.space} {lock.node}"
        for number, holding in enumerate(lock.holders or (None,)):
            head = (lock.name, space) if number == 0 else ("", "")
            waiting = lock.waiting if number == 0 else ""
            if holding is None:
                yield *head, "-", "-", "-", f"0/{lock.of}", "-", waiting
            else:
                nodes, left = f"{holding.nodes}/{lock.of}", f"{holding.remaining:.1f} s"
                yield *head, holding.label, holding.mode, holding.fence, nodes, left, waiting


def _missing(views: Iterable[NodeView]) -> dict[str, str]:
    return {view.id: view.cause for view in views if not view.complete}


def _verdict(views: list[NodeView]) -> int:
    missing = _missing(views)
    for node, cause in missing.items():
        say(f"{node} is not in the picture: {cause}")
    if len(views) - len(missing) >= len(views) // 2 + 1:
        return Exit.OK
    return Exit.DENIED if all(view.denied for view in views) else Exit.UNAVAILABLE
