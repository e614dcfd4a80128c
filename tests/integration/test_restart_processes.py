"""Nodes that come back with their disks, in real processes: leases outlive them, and deadlines mean what they meant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from lockmanager import Coordinator
from lockmanager.durations import MICROSECONDS, microseconds
from tests.support.contested import contested
from tests.support.holder import holding
from tests.support.judge import Conditions, Contest, Hold, Judge, Watch
from tests.support.quick_cluster import SILENCE, QuickCluster, now, quick_coordinators
from tests.support.side_by_side import Played, played
from tests.support.waiting import held_on, in_line

pytestmark = [pytest.mark.processes, pytest.mark.slow]

STOPS_WITHIN = 1.0
"""Seconds, as DESIGN.md has it."""

STOP_SLACK = 3.0
"""Seconds a loaded machine may add to that; a node that takes five is killed, and would never be later."""

SLACK = 10.0
"""Seconds a loaded machine may take for a start."""

KEPT = 20
"""Leases that are held all the time while nodes restart."""


async def restarts(fault: str) -> Contest:
    """Restart one node after another, as soon as the one before is ready."""
    async with QuickCluster() as cluster, contested(cluster) as contest:
        for node in cluster.node_ids:
            await cluster.restart(node, fault=fault)
            await contest.goes_on()
        return contest


async def killed_one_after_another() -> Contest:
    return await restarts("kill")


async def stopped_one_after_another() -> Contest:
    return await restarts("stop")


@dataclass(frozen=True)
class Rolling:
    """How long each stop took, in seconds, and whether the leases that were held meanwhile are valid at the end."""

    stops: list[float]
    statuses: list[str]
    kept: list[bool]


async def rolling_restart_under_load() -> Rolling:
    """Twice over, with the shortest pause there is: the next node stops as soon as the one before is ready."""
    async with (
        QuickCluster() as cluster,
        contested(cluster, Conditions(wait=2.0)),
        kept_leases(cluster) as leases,
    ):
        stops, statuses = [], []
        for node in 2 * cluster.node_ids:
            cluster.quick[node].options = ("--log-level", "info")
            begin = time.monotonic()
            await cluster.stop(node)
            stops.append(time.monotonic() - begin)
            statuses.append(cluster.quick[node].said())
            await cluster.start(node)
        return Rolling(stops, statuses, [lease.valid for lease in leases])


@asynccontextmanager
async def kept_leases(cluster: QuickCluster) -> AsyncIterator[list[Any]]:
    """Hold many leases with a short ttl while the block runs."""
    async with cluster.coordinator(label="keeper") as keeper:
        leases = [await keeper.acquire(f"kept/{number}", ttl=2) for number in range(KEPT)]
        yield leases
        for lease in leases:
            lease.release_soon()


@dataclass(frozen=True)
class Survival:
    """A lease whose holder lives, and who waited for it while all nodes were killed at once."""

    judge: Judge
    valid: bool
    on_all_nodes: bool


async def all_killed_at_once() -> Survival:
    async with QuickCluster() as cluster, cluster.coordinator() as one, cluster.coordinator() as other:
        judge = Judge()
        lease = await one.acquire("orders/42", ttl=20)
        watch = Watch(judge, lease, "one")
        waiting = asyncio.create_task(other.acquire("orders/42", ttl=2))
        await in_line(one, "orders/42")
        await cluster.kill(*cluster.node_ids)
        await cluster.start(*cluster.node_ids)
        report = await held_on(one, "orders/42", 3)
        await in_line(one, "orders/42")
        assert not waiting.done()
        valid = lease.valid
        watch.end()
        await lease.release()
        second = await waiting
        Watch(judge, second, "other").end()
        await second.release()
        judge.check()
        return Survival(judge, valid, report.held)


@dataclass(frozen=True)
class Orphan:
    """A lease whose holder was killed before all nodes were, and who came next."""

    before: Hold
    after: Hold
    ttl: float


async def holder_and_all_nodes_killed() -> Orphan:
    ttl = 8.0
    async with QuickCluster() as cluster:
        async with holding(cluster.config_path, "orders/42", ttl=ttl, first_ttl=SILENCE) as holder:
            await holder.holds()
            before = await holder.kill()
        judge = Judge([before])
        await cluster.kill(*cluster.node_ids)
        await cluster.start(*cluster.node_ids)
        async with cluster.coordinator() as other:
            lease = await other.acquire("orders/42", ttl=2)
            Watch(judge, lease, "other").end()
            await lease.release()
        judge.check()
        return Orphan(before, judge.holds[1], ttl)


@dataclass(frozen=True)
class Deadline:
    """When one node's lease ends: it lies between these two instants, as the node said and when it was asked."""

    earliest: int
    latest: int


@dataclass(frozen=True)
class Boots:
    """When a lease of a minute ended, as a node said before and after it was started again; and when it was."""

    granted: Deadline
    same_boot: Deadline
    restarted: int
    next_boot: Deadline
    same_boot_again: Deadline


TTL = 60.0


async def boots(space: str) -> Boots:
    async with QuickCluster() as cluster, cluster.coordinator() as coordinator:
        if space == "node":
            await acquire_over_http(cluster.urls["node1"])
        else:
            await acquire_and_fall_silent(cluster, coordinator)
        granted = await deadline(cluster)
        await asyncio.sleep(1)
        await cluster.restart("node1")
        same_boot = await deadline(cluster)
        await cluster.stop("node1")
        cluster.reboot("node1")
        restarted = now()
        await cluster.start("node1")
        next_boot = await deadline(cluster)
        await asyncio.sleep(1)
        await cluster.restart("node1")
        return Boots(granted, same_boot, restarted, next_boot, await deadline(cluster))


async def acquire_over_http(url: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/acquire", json={"name": "orders/42", "ttl": TTL}) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def acquire_and_fall_silent(cluster: QuickCluster, coordinator: Coordinator) -> None:
    """Let a holder acquire and be killed, so that nobody renews the lease."""
    async with holding(cluster.config_path, "orders/42", ttl=TTL, first_ttl=SILENCE) as holder:
        await holder.holds()
        await held_on(coordinator, "orders/42", 3)
        await holder.kill()


async def deadline(cluster: QuickCluster) -> Deadline:
    asked = now()
    (holder,) = (await cluster.locks("node1"))["orders/42"]["holders"]
    remaining = microseconds(holder["remaining"])
    return Deadline(asked + remaining, now() + remaining)


async def boots_of_a_node_lease() -> Boots:
    return await boots("node")


async def boots_of_a_quorum_lease() -> Boots:
    return await boots("quorum")


SCENES = (
    killed_one_after_another,
    stopped_one_after_another,
    rolling_restart_under_load,
    all_killed_at_once,
    holder_and_all_nodes_killed,
    boots_of_a_node_lease,
    boots_of_a_quorum_lease,
)


@pytest.fixture(scope="module")
def after() -> Iterator[Played]:
    with quick_coordinators(), played(*SCENES) as outcomes:
        yield outcomes


@pytest.mark.parametrize("scene", [killed_one_after_another, stopped_one_after_another])
def test_nodes_may_be_restarted_one_after_another(after: Played, scene: Any) -> None:
    contest: Contest = after(scene)
    assert len(contest.judge.holds) > 4 * 3 * len(contest.contenders)


def test_a_rolling_restart_loses_no_lease_and_makes_nobody_wait_for_two_seconds(after: Played) -> None:
    assert after(rolling_restart_under_load).kept == [True] * KEPT


def test_a_stop_takes_no_longer_than_a_second(after: Played) -> None:
    stops = after(rolling_restart_under_load).stops
    assert len(stops) == 6
    assert max(stops) < STOPS_WITHIN + STOP_SLACK


def test_a_stop_is_said_in_the_log_and_a_start_says_what_was_read(after: Played) -> None:
    again = after(rolling_restart_under_load).statuses[3:]
    for log in again:
        assert "journal_read leases=" in log
        assert "same_boot=True" in log
        assert "node_stopped" in log
        assert "node_recovering" not in log


def test_a_lease_outlives_the_death_of_all_nodes_at_once(after: Played) -> None:
    survival = after(all_killed_at_once)
    assert survival.valid
    assert survival.on_all_nodes
    assert [hold.who for hold in survival.judge.of("orders/42")] == ["one", "other"]


def test_a_lease_outlives_its_holder_and_all_nodes_for_what_is_left_of_it(after: Played) -> None:
    orphan = after(holder_and_all_nodes_killed)
    assert orphan.after.acquired >= orphan.before.ended
    assert orphan.after.fence > orphan.before.fence


@pytest.mark.parametrize("scene", [boots_of_a_node_lease, boots_of_a_quorum_lease])
def test_on_the_same_boot_a_lease_ends_when_it_would_have(after: Played, scene: Any) -> None:
    told: Boots = after(scene)
    for before, later in ((told.granted, told.same_boot), (told.next_boot, told.same_boot_again)):
        assert before.earliest <= later.latest
        assert later.earliest <= before.latest


@pytest.mark.parametrize("scene", [boots_of_a_node_lease, boots_of_a_quorum_lease])
def test_after_another_boot_a_lease_gets_its_full_ttl_again(after: Played, scene: Any) -> None:
    told: Boots = after(scene)
    assert told.next_boot.latest >= told.restarted + TTL * MICROSECONDS
    assert told.next_boot.earliest <= told.restarted + (TTL + SLACK) * MICROSECONDS
    assert told.next_boot.earliest > told.same_boot.latest
