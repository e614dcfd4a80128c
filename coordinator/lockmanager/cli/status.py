"""`lockmanager status`: which nodes are there, and whether enough of them are ready."""

from __future__ import annotations

import asyncio
import json

import click

from ..topology import Cluster
from .asking import NodeView, ask_all
from .exits import Exit
from .messages import log_errors_only, say
from .tables import show_table
from .target import Target, with_target

_PAGES = 5
"""Counting more locks than these pages hold is left to others; the number then is a lower bound."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="for programs")
@with_target
def status(target: Target, as_json: bool) -> int:  # noqa: FBT001  # click passes by keyword
    """Show every node of the cluster; exit with 0 when a majority is ready, else 69."""
    log_errors_only()
    cluster, views = asyncio.run(ask_all(target, pages=_PAGES))
    majority = len(views) // 2 + 1
    ready = sum(view.counts for view in views)
    if as_json:
        click.echo(json.dumps(_document(cluster, views, ready=ready, majority=majority)))
    else:
        _show(cluster, views, ready=ready, majority=majority)
    if ready >= majority:
        return Exit.OK
    say(f"{ready} of {len(views)} nodes are ready, {majority} are needed")
    return Exit.DENIED if all(view.denied for view in views) else Exit.UNAVAILABLE


def _document(cluster: Cluster, views: list[NodeView], *, ready: int, majority: int) -> dict[str, object]:
    nodes = [
        {
            "id": view.id,
            "url": view.url,
            "reachable": view.reachable,
            "ready": view.ready,
            "cause": view.cause or None,
            "same_cluster": view.same_cluster,
            "leases": _leases(view),
            "waiting": _waiting(view),
            "counted_all": view.complete,
        }
        for view in views
    ]
    return {"cluster": cluster.name, "ready": ready, "majority": majority, "nodes": nodes}


def _show(cluster: Cluster, views: list[NodeView], *, ready: int, majority: int) -> None:
    columns = ("node", "url", "state", "cluster", "#leases", "#waiting")
    show_table(columns, [_row(view) for view in views])
    click.echo(f"cluster {cluster.name!r}: {ready} of {len(views)} nodes ready, {majority} needed")


def _row(view: NodeView) -> tuple[object, ...]:
    more = "" if view.complete else "+"
    leases, waiting = (("-" if count is None else f"{count}{more}") for count in (_leases(view), _waiting(view)))
    return view.id, view.url, _state(view), _sameness(view), leases, waiting


def _state(view: NodeView) -> str:
    if not view.reachable:
        return f"unreachable: {view.cause}"
    if view.ready:
        return f"ready; {view.cause}" if view.cause else "ready"
    return f"not ready: {view.cause}"


def _sameness(view: NodeView) -> str:
    return {None: "-", True: "ok", False: "ANOTHER ONE"}[view.same_cluster]


def _leases(view: NodeView) -> int | None:
    return sum(len(lock.holders) for lock in view.locks) if view.locks or view.complete else None


def _waiting(view: NodeView) -> int | None:
    return sum(lock.waiting for lock in view.locks) if view.locks or view.complete else None
