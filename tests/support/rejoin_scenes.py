"""Scenes in which nodes lose what they knew while coordinators contend, and have to ask their peers.

Real node processes; `tests.integration.test_rejoin_processes` judges what comes of them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from tests.support.contested import contested
from tests.support.judge import Contest
from tests.support.quick_cluster import QuickCluster, Ready, now


@dataclass(frozen=True)
class Rejoined:
    """One node that came back without its disk: what it said first, and from when to when it did not grant."""

    first: Ready
    started: int
    ready: int


async def rejoin(cluster: QuickCluster, node: str, contest: Contest) -> Rejoined:
    """Take a node's disk away, and see that locking goes on while it is silent and once it grants again."""
    await cluster.kill(node)
    await cluster.wipe(node)
    started = now()
    await cluster.start(node, ready=False)
    first = await cluster.ready(node)
    await contest.goes_on()
    ready = await cluster.until_ready(node)
    await contest.goes_on()
    return Rejoined(first, started, ready)


async def lost_disk() -> Rejoined:
    async with QuickCluster() as cluster, contested(cluster) as contest:
        rejoined = await rejoin(cluster, "node1", contest)
        await cluster.kill("node2")
        await contest.goes_on()
        await cluster.start("node2")
        return rejoined


async def lost_disks_one_after_another() -> list[Rejoined]:
    async with QuickCluster() as cluster, contested(cluster) as contest:
        return [await rejoin(cluster, node, contest) for node in cluster.node_ids]


async def restarts_in_memory() -> list[Rejoined]:
    """Nodes that want keys, too: a node's key for its peers follows from theirs."""
    async with QuickCluster(journal=False, keys=("key",)) as cluster, contested(cluster) as contest:
        return [await rejoin(cluster, node, contest) for node in cluster.node_ids]


@dataclass(frozen=True)
class RealSilence:
    """What a node said while it was silent for as long as the product is."""

    rejoined: Rejoined
    said: list[Ready]


async def real_silence() -> RealSilence:
    async with QuickCluster(silence=0) as cluster, contested(cluster) as contest:
        await cluster.kill("node3")
        await cluster.wipe("node3")
        started = now()
        await cluster.start("node3", ready=False)
        said = [await cluster.ready("node3")]
        while not said[-1].yes:
            await contest.goes_on(1)
            await asyncio.sleep(0.2)
            said.append(await cluster.ready("node3"))
        return RealSilence(Rejoined(said[0], started, said[-1].answered), said[:-1])


async def silent_node_is_stopped() -> float:
    """Stop a node while it waits for the answer of a peer that stands still; return how many seconds that took."""
    async with QuickCluster(silence=0) as cluster:
        await cluster.pause("node2")
        await cluster.replace("node1", ready=False)
        begin = time.monotonic()
        await cluster.stop("node1")
        took = time.monotonic() - begin
        await cluster.resume("node2")
        return took
