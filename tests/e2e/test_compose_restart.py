"""Nodes of the stack that stop, die and start again with their journals: nothing held is forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest
import requests
from tests.e2e.leases import DEAD, LONG, Rival, held_by, lease_of_the_dead, next_fence
from tests.e2e.load import Load
from tests.e2e.stack import CLUSTER_FILE, NODES, PROMPTLY, Stack, run

from lockmanager import Coordinator
from lockmanager.topology import parse_cluster

pytestmark = pytest.mark.compose

STOP_LIMIT = 3.0
"""Seconds `docker stop` may take: a node stops within one; the rest is Docker's, and a busy machine's."""


def test_a_killed_node_comes_back_with_its_leases_and_without_a_silence(stack: Stack, name: str) -> None:
    lease_of_the_dead(name)
    before = stack.holders("node2", name)
    run("docker", "kill", stack.container("node2"))
    run("docker", "start", stack.container("node2"))
    heard = stack.until_ready("node2", limit=PROMPTLY)
    assert {answer.status for answer in heard} <= {0}
    assert [holder["label"] for holder in before] == [DEAD]
    assert stack.holders("node2", name) == before


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_lease_outlives_the_end_of_all_nodes_at_once_and_nobody_else_gets_it(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str, how: str
) -> None:
    lease = await coordinator.acquire(name, ttl=LONG, wait=5)
    async with Rival(other, name) as rival:
        await asyncio.to_thread(stack.compose, how)
        await asyncio.to_thread(stack.start)
        await asyncio.to_thread(stack.until_ready, *NODES, limit=PROMPTLY)
        lease.check()
        refused = rival.refused
        await asyncio.sleep(1)
    assert rival.granted == 0
    assert rival.refused > refused
    lease.check()
    await lease.release()
    assert await next_fence(other, name) > lease.fence


async def test_a_lease_whose_holder_is_dead_too_outlives_the_restart_of_all_nodes(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    fence = lease_of_the_dead(name)
    await asyncio.to_thread(stack.compose, "restart")
    await asyncio.to_thread(stack.until_ready, *NODES, limit=PROMPTLY)
    assert await held_by(coordinator, name) == (DEAD,)
    await asyncio.to_thread(stack.revoke, name)
    assert await next_fence(coordinator, name) > fence


async def test_a_lease_outlives_down_and_up_of_the_whole_stack(stack: Stack, name: str) -> None:
    lease_of_the_dead(name)
    before = {node: stack.holders(node, name) for node in NODES}
    await asyncio.to_thread(stack.compose, "down")
    assert await asyncio.to_thread(stack.container, "node1") == ""
    await asyncio.to_thread(stack.start)
    await asyncio.to_thread(stack.until_ready, *NODES, limit=PROMPTLY)
    assert {node: stack.holders(node, name) for node in NODES} == before
    async with Coordinator.from_config(CLUSTER_FILE, network="public") as coordinator:
        assert await held_by(coordinator, name) == (DEAD,)


def test_a_lease_of_one_node_over_http_outlives_the_restart_of_that_node(stack: Stack, name: str) -> None:
    url = stack.url("node1")
    lease = requests.post(f"{url}/v1/acquire", json={"name": name, "ttl": LONG}, timeout=5).json()
    run("docker", "restart", stack.container("node1"))
    stack.until_ready("node1", limit=PROMPTLY)
    again = requests.post(f"{url}/v1/acquire", json={"name": name, "ttl": LONG}, timeout=5)
    owner = {"name": name, "token": lease["token"]}
    renewed = requests.post(f"{url}/v1/renew", json=owner | {"ttl": LONG}, timeout=5)
    released = requests.post(f"{url}/v1/release", json=owner, timeout=5)
    assert (again.status_code, renewed.status_code, released.status_code) == (409, 200, 200)


async def test_an_efficiency_lease_outlives_the_restart_of_its_host(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str
) -> None:
    host = parse_cluster(CLUSTER_FILE.read_text()).preference(name)[0]
    async with coordinator.efficiency_lock(name, ttl=30, wait=5) as lease:
        await asyncio.to_thread(run, "docker", "restart", stack.container(host))
        await asyncio.to_thread(stack.until_ready, host, limit=PROMPTLY)
        held = await asyncio.to_thread(stack.holders, host, name, "efficiency")
        await lease.renew()
        lease.check()
    assert [holder["fence"] for holder in held] == [lease.fence]


async def test_a_rolling_restart_under_load_loses_no_lease_and_fails_no_acquire(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    took, exits, turns = [], [], []
    async with coordinator.lock(f"{name}-held", ttl=5, wait=5) as lease, Load(name) as load:
        for node in NODES:
            container = await asyncio.to_thread(stack.container, node)
            begin = time.monotonic()
            await asyncio.to_thread(run, "docker", "stop", "--time", "20", container)
            took.append(time.monotonic() - begin)
            exits.append((await asyncio.to_thread(stack.inspect, node))["State"]["ExitCode"])
            turns.append(await load.turns_within(2))
            await asyncio.to_thread(run, "docker", "start", container)
            await asyncio.to_thread(stack.until_ready, node, limit=PROMPTLY)
            turns.append(await load.turns_within(2))
            lease.check()
    assert exits == [0, 0, 0]
    assert max(took) < STOP_LIMIT
    assert min(turns) > 0


async def test_a_first_start_on_empty_volumes_takes_no_pause(running_stack: Stack, name: str) -> None:
    stack = running_stack
    await asyncio.to_thread(stack.down)
    await asyncio.to_thread(stack.up)
    async with Coordinator.from_config(CLUSTER_FILE, network="public") as coordinator:
        await next_fence(coordinator, name)
    locked = time.time()
    await asyncio.to_thread(stack.wait_healthy)
    healthy = time.time()
    started = min([await asyncio.to_thread(stack.started_at, node) for node in NODES])
    assert locked - started < PROMPTLY
    assert healthy - started < PROMPTLY
