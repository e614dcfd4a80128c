"""What must be true after a call is over, however it ended: nothing of it is left, and the next one gets the lock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

from lockmanager import NotAcquired
from lockmanager.engine import Engine
from tests.support.waiting import sessions_are_live
from tests.virtual.cluster import VirtualCluster
from tests.virtual.findings import Findings
from tests.virtual.verbs import NAME, TTL, Scene, Verb

_ARRIVED: Final = 0.02
"""Seconds by which a release has arrived everywhere in calm weather, and was answered."""

ALL_OVER: Final = 35.0
"""Seconds by which the longest ttl of a call is over, and every connection whose end was lost was given up."""


async def look_around(scene: Scene, verb: Verb, findings: Findings, tasks: Counter[str], *, rough: bool) -> None:
    """Look for what is left of a call in the clients and on the nodes, while both go on."""
    clients = [scene.rival] if verb.closes else [scene.rival, scene.first]
    await asyncio.sleep(_ARRIVED)  # a session that just ended is live until its client hears of it
    for coordinator in clients:
        await sessions_are_live(coordinator)
    await asyncio.sleep(ALL_OVER if rough else _ARRIVED)
    left = scene.cluster.what_is_left()
    findings.check("nothing is left on any node", not left, "leases and waiters:", left)
    await _another_acquires(scene, findings)
    await asyncio.sleep(ALL_OVER)
    for coordinator in clients:
        kept = list(kept_by(coordinator.engine))
        findings.check("nothing is left in a client", not kept, kept)
    found = scene.cluster.loop.tasks()
    findings.check("no task is left", found == tasks, "more:", found - tasks, "fewer:", tasks - found)


async def _another_acquires(scene: Scene, findings: Findings) -> None:
    try:
        async with scene.rival.lock(NAME, ttl=TTL, wait=0):
            findings.check("another gets the lock", True)
    except NotAcquired as error:
        findings.check("another gets the lock", False, error)


def kept_by(engine: Engine) -> Iterator[str]:
    runs = {*engine._alive, *engine._runs.values()}
    yield from (f"an acquisition of {run.acquisition.request.name!r}, {run.acquisition.phase.name}" for run in runs)
    if len(engine.renewals):
        yield "renewals"
    if engine.confirmations._waiting or engine.confirmations._timer:
        yield "confirmations"
    if engine._timer is not None:
        yield "the timer of renewals"
    for node, channel in engine._channels.items():
        if len(channel._releases):
            yield f"{len(channel._releases)} releases at {node}"
        if channel._beat is not None:
            yield f"a heartbeat of {node}"


async def when_all_left(cluster: VirtualCluster, findings: Findings) -> None:
    """Look for what is left of the clients on wires and nodes, when all of them were closed."""
    await asyncio.sleep(1)
    wires = [f"{wire.client}>{wire.server}" for wire in cluster.network.wires if not wire.over]
    findings.check("no connection is left", not wires, wires)
    sessions = {node: count for node, count in cluster.sessions().items() if count}
    findings.check("no session is left", not sessions, sessions)


async def at_the_end(cluster: VirtualCluster, findings: Findings) -> None:
    """Look for what is left when everything was closed."""
    await asyncio.sleep(ALL_OVER)
    loop = cluster.loop
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    findings.check("no task is left at the end", not tasks, tasks)
    findings.check("no timer is left at the end", not loop.timers(), loop.timers())
