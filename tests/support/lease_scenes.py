"""Scenes in which one node alone still knows of a lease, and has it from others because it lost its disk.

Real node processes with a scaled silence; `tests.integration.test_rejoin_processes` judges what comes of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from lockmanager import Coordinator, Lease
from lockmanager.durations import microseconds
from tests.support.holder import holding
from tests.support.judge import Hold, Judge, Watch
from tests.support.quick_cluster import SILENCE, QuickCluster, now
from tests.support.relay import Ways, ways_to
from tests.support.waiting import held_on, sessions_are_live, until, until_told

NAME: Final = "the one row everybody writes"
LONG: Final = 12.0
"""Seconds of a ttl above what is first asked for: two minutes, scaled as the silence is."""

_LONG_SILENCE: Final = 4 * SILENCE
"""Seconds for which a node is silent while it starts and somebody acquires: a loaded machine takes its time."""

SLACK: Final = 15.0
"""Seconds a loaded machine may add to the end of a lease."""


@dataclass(frozen=True)
class Handover:
    """What the holder said last, the first holder after it, and when the last node adopted the lease at the latest."""

    before: Hold
    after: Hold
    adopted: int


async def next_holder(cluster: QuickCluster, before: Hold, adopted: int) -> Handover:
    """Acquire after a holder that is no more, and let the judge look at both."""
    judge = Judge([before])
    async with cluster.coordinator(label="the next") as coordinator:
        lease = await coordinator.acquire(before.name, ttl=2, wait=LONG + SLACK)
        Watch(judge, lease, "the next").end()
        await lease.release()
    judge.check()
    return Handover(before, judge.holds[1], adopted)


async def dead_holder_of_a_lease_one_node_knows() -> Handover:
    """Node 3 was down when the lease was granted, node 1 loses its disk: it waits for node 2, away for a while.

    In the end node 2 is away for good, and what keeps others out is what node 1 has from it.
    """
    async with QuickCluster() as cluster:
        await cluster.kill("node3")
        async with holding(cluster.config_path, NAME, ttl=LONG, first_ttl=SILENCE) as holder:
            await holder.holds()
            before = await holder.kill()
        await cluster.start("node3")
        await cluster.kill("node2")
        await cluster.replace("node1", ready=False)
        await until_told(lambda: has_asked(cluster, "node1"), "node1 has asked node3")
        await cluster.start("node2")
        adopted = await cluster.until_ready("node1")
        assert NAME in await cluster.locks("node1")
        assert NAME not in await cluster.locks("node3")
        await cluster.kill("node2")
        return await next_holder(cluster, before, adopted)


async def has_asked(cluster: QuickCluster, node: str) -> bool:
    """Say whether the silence of a node is over, and one of two peers has told it what is held."""
    return "has learnt it from 1" in (await cluster.ready(node)).detail


async def dead_holder_that_met_a_replaced_node() -> Handover:
    """The holder claims its lease on a node that was replaced meanwhile; then it dies, and another node is replaced."""
    async with (
        QuickCluster() as cluster,
        holding(cluster.config_path, NAME, ttl=LONG, first_ttl=SILENCE) as holder,
        cluster.coordinator() as observer,
    ):
        await holder.holds()
        await cluster.replace("node1")
        renewed = await holder.speaks_again()
        assert renewed.ended > now()
        await held_on(observer, NAME, 3)
        before = await holder.kill()
        await cluster.replace("node2", ready=False)
        adopted = await cluster.until_ready("node2")
        await cluster.kill("node3")
        return await next_holder(cluster, before, adopted)


@dataclass(frozen=True)
class Lifted:
    """A lease that was acquired while node 1 was silent, for how long it stood there at least, and who came next."""

    silent_until_at_least: int
    acquired: int
    told_to_node1: float
    handover: Handover


async def holder_cut_off_after_a_lift_during_a_silence() -> Lifted:
    """Nodes 2 and 3 grant and lift the lease while node 1 is silent; node 1 copies it, and then node 3 has lost it."""
    async with QuickCluster() as cluster, ways_to(cluster.cluster) as ways:
        async with Coordinator(ways.cluster, label="cut off") as cut_off:
            await sessions_are_live(cut_off)
            await cluster.kill("node1")
            await cluster.wipe("node1")
            cluster.quick["node1"].silence = _LONG_SILENCE
            started = now()
            await cluster.start("node1", ready=False)
            lease = await cut_off.acquire(NAME, ttl=LONG)
            acquired = now()
            ways.cut(["node1"])
            await cluster.until_ready("node1")
            (told,) = (await cluster.locks("node1"))[NAME]["holders"]
            before = cut(ways, lease, acquired)
            await cluster.replace("node3", ready=False)
            adopted = await cluster.until_ready("node3")
            await cluster.kill("node2")
            handover = await next_holder(cluster, before, adopted)
        return Lifted(started + microseconds(_LONG_SILENCE), acquired, told["remaining"], handover)


def cut(ways: Ways, lease: Lease, acquired: int) -> Hold:
    """Let nothing of the holder reach a node any more, and return what it may rely on."""
    assert lease.valid
    ways.cut()
    return Hold(lease.name, "cut off", lease.fence, acquired, now() + microseconds(lease.remaining()))


@dataclass(frozen=True)
class LateMajority:
    """A lease that came to stand on a majority after one of its grants was forgotten, and who came next."""

    first: Hold
    second: Hold


async def grant_forgotten_before_it_was_part_of_a_majority() -> LateMajority:
    """The holder's question to node 2 is late; meanwhile node 1 grants and forgets, and a rival sees nodes 1 and 3."""
    async with (
        QuickCluster() as cluster,
        ways_to(cluster.cluster) as ways,
        ways_to(cluster.cluster) as rival_ways,
        Coordinator(ways.cluster, label="first") as one,
        Coordinator(rival_ways.cluster, label="second") as rival,
    ):
        for coordinator in (one, rival):
            await sessions_are_live(coordinator)
        judge = Judge()
        ways.cut(["node2", "node3"])
        rival_ways.cut(["node2"])
        first = asyncio.create_task(watched(one, judge, "first", SILENCE))
        await until(lambda: is_granted(one, "node1"), "a grant of node1")
        ways.cut(["node1"])
        replacing = asyncio.create_task(cluster.replace("node1", ready=False))
        second = asyncio.create_task(watched(rival, judge, "second", SILENCE / 2))
        await asyncio.sleep(SILENCE / 4)
        ways.relays["node2"].heal()
        await asyncio.gather(first, second, replacing)
        judge.check()
        return LateMajority(*judge.of(NAME))


async def watched(coordinator: Coordinator, judge: Judge, who: str, length: float) -> None:
    """Hold for so many seconds, or until the lease is lost."""
    lease = await coordinator.acquire(NAME, ttl=SILENCE, wait=5 * SILENCE + SLACK)
    watch = Watch(judge, lease, who)
    try:
        async with asyncio.timeout(length):
            await lease.lost.wait()
    except TimeoutError:
        pass
    watch.end()
    lease.release_soon()


def is_granted(coordinator: Coordinator, node: str) -> bool:
    """Say whether a coordinator has heard of a grant; the node lists it a little sooner than it tells."""
    return any(run.acquisition.ballot[node].grant is not None for run in coordinator.engine._runs.values())
