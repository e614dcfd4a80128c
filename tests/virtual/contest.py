"""Several clients contend for the same locks while wires break and a node loses its memory; then all of it heals.

Exclusion is judged by what the holders could rely on. After the healing everybody must get every lock, and nothing
may be left of anybody.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from lockmanager import Coordinator, Lease, LockManagerError
from tests.support.judge import Hold, Judge
from tests.support.memory_network import LoopClock
from tests.support.waiting import sessions_are_live
from tests.virtual.aftermath import ALL_OVER, at_the_end, kept_by, when_all_left
from tests.virtual.cluster import NODES, VirtualCluster, virtual_cluster
from tests.virtual.findings import Findings
from tests.virtual.loop import VirtualLoop
from tests.virtual.tracing import digest

NAMES: Final = ("orders/42", "orders/43")
CLIENTS: Final = ("first", "second", "third")
LONGEST: Final = 3.0
"""Seconds for which the weather is rough."""

_POLL: Final = 0.1

_SILENCE: Final = 60.0
"""Seconds by which a node that lost its memory has asked its peers, and was silent for as long as it must."""


@dataclass
class Result:
    """What came of a contest; `digest` stands for everything that crossed the wires."""

    grants: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    digest: str = ""


class Contender:
    """One client that acquires, holds and releases, with deadlines that may strike at any moment."""

    def __init__(self, coordinator: Coordinator, who: str, judge: Judge, result: Result, seed: str) -> None:
        self._coordinator, self._who = coordinator, who
        self._judge, self._result = judge, result
        self._chance = random.Random(seed)
        self._clock = LoopClock()

    async def contend(self, until: float) -> None:
        """Go on until an instant; only errors of the library are survived."""
        while asyncio.get_running_loop().time() < until:
            try:
                async with asyncio.timeout(self._chance.choice((None, 2.0, 0.3, 0.02)) or None):
                    await self._once(self._chance.choice(NAMES))
            except (LockManagerError, TimeoutError) as error:
                self._result.errors[type(error).__name__] += 1
            await asyncio.sleep(self._chance.uniform(0.001, 0.05))

    async def demand(self, name: str) -> None:
        """Get a lock, however long it takes, and keep it for longer than its ttl."""
        async with self._coordinator.lock(name, ttl=0.5) as lease:
            await self._watch(lease, 1.0)

    async def _once(self, name: str) -> None:
        ttl, wait = self._chance.choice((0.5, 1.0, 3.0)), self._chance.choice((None, 1.0, 0.2, 0.0))
        async with self._coordinator.lock(name, ttl=ttl, wait=wait) as lease:
            await self._watch(lease, self._chance.choice((0.0, 0.01, 0.2, 1.0)) * self._chance.random())

    async def _watch(self, lease: Lease, length: float) -> None:
        """Rely on a lease until it is over, or lost; then note from when to when."""
        acquired, lost_at = self._clock.now(), [0]
        lease.call_when_lost(lambda: lost_at.append(self._clock.now()))
        self._result.grants += 1
        try:
            await asyncio.sleep(length)
        finally:
            ended = lost_at[-1] or self._clock.now()
            self._judge.note(Hold(lease.name, self._who, lease.fence, acquired, ended))


def contest(seed: int) -> Result:
    """Run one contest."""
    result = Result()
    result.findings.of_a_run(lambda loop: _contest(seed, loop, result))
    return result


async def _contest(seed: int, loop: VirtualLoop, result: Result) -> None:
    judge = Judge()
    async with virtual_cluster(seed, new_cluster=False) as cluster:
        result.faults = cluster.weather.faults
        await _serving(cluster)
        async with AsyncExitStack() as stack:
            coordinators = {who: await stack.enter_async_context(cluster.coordinator(who)) for who in CLIENTS}
            contenders = [Contender(one, who, judge, result, f"{seed} {who}") for who, one in coordinators.items()]
            await _rough_time(cluster, contenders, random.Random(f"{seed} nodes"), result.findings)
            await _all_get_all(contenders, result.findings)
            await _look_around(cluster, coordinators, result.findings)
        await when_all_left(cluster, result.findings)
    result.digest = digest(cluster.network.trace)
    await at_the_end(cluster, result.findings)
    _judge(judge, result.findings)


async def _serving(cluster: VirtualCluster) -> None:
    """Wait until all nodes grant."""
    async with asyncio.timeout(_SILENCE):
        while not all(server.context.service.ready for server in cluster.nodes.values()):  # noqa: ASYNC110 - no event
            await asyncio.sleep(_POLL)


async def _rough_time(
    cluster: VirtualCluster, contenders: list[Contender], chance: random.Random, findings: Findings
) -> None:
    """Let the weather be rough for a while, and perhaps a node forget everything."""
    cluster.network.roughen(0.3, 1.0, 3.0)
    end = cluster.loop.time() + LONGEST
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(contender.contend(end)) for contender in contenders]
        if chance.random() < 0.3:
            await _forgets(cluster, chance)
    cancelled = sum(task.cancelled() for task in tasks)
    findings.check("nobody else cancels", not cancelled, cancelled, "clients were cancelled by the library")
    cluster.network.open()
    await _serving(cluster)


async def _forgets(cluster: VirtualCluster, chance: random.Random) -> None:
    """Crash one of the nodes and start it again, with nothing on its disk."""
    cluster.weather.faults["node that forgets"] += 1
    node = chance.choice(NODES)
    await asyncio.sleep(chance.uniform(0, LONGEST / 2))
    await cluster.crash(node)
    await asyncio.sleep(chance.uniform(0, LONGEST / 2))
    await cluster.start(node, new_cluster=False)


async def _all_get_all(contenders: list[Contender], findings: Findings) -> None:
    """Let everybody demand every lock at once."""
    demands = [asyncio.create_task(one.demand(name)) for one in contenders for name in NAMES]
    done, late = await asyncio.wait(demands, timeout=_SILENCE)
    findings.check("everybody gets the lock in the end", not late, len(late), "still wait after", _SILENCE, "s")
    for task in late:
        task.cancel()
    for task in done:
        error = task.exception()
        findings.check("nothing is lost once all is well", error is None, repr(error))


async def _look_around(cluster: VirtualCluster, coordinators: dict[str, Coordinator], findings: Findings) -> None:
    await asyncio.sleep(ALL_OVER)
    left = cluster.what_is_left()
    findings.check("nothing is left on any node", not left, "leases and waiters:", left)
    for who, coordinator in coordinators.items():
        await sessions_are_live(coordinator)
        kept = list(kept_by(coordinator.engine))
        findings.check("nothing is left in a client", not kept, who, kept)


def _judge(judge: Judge, findings: Findings) -> None:
    try:
        judge.check()
    except AssertionError as broken:
        findings.check("exclusion, and fences that rise", False, broken)
    findings.looked("exclusion, and fences that rise", len(judge.holds))
