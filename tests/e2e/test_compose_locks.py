"""Quorum and efficiency locks on the running stack, from both sides of the network, while nodes fail."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.faults import FAULTS, broken
from tests.e2e.stack import CLUSTER_FILE, NODES, Stack, run

from lockmanager import ClusterMismatch, Coordinator, LeaseLost, QuorumUnavailable
from lockmanager.topology import parse_cluster

pytestmark = pytest.mark.compose

IN_NETWORK = (Path(__file__).parent / "in_network.py").read_text()
TTL = 3.0
"""Seconds; short, so that living through three of them shows that renewal works."""


async def _in_network(stack: Stack, name: str) -> dict[str, Any]:
    """What a client with the service names gets; in a thread, so that sessions of this process keep beating."""
    outcome: dict[str, Any] = json.loads(await asyncio.to_thread(stack.in_network, IN_NETWORK, name))
    return outcome


async def _fence(coordinator: Coordinator, name: str) -> int:
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease:
        return lease.fence


def test_all_nodes_are_healthy_after_up(stack: Stack) -> None:
    assert stack.health() == dict.fromkeys(NODES, "healthy")


async def test_a_client_on_the_host_locks_with_rising_fences(coordinator: Coordinator, name: str) -> None:
    fences = [await _fence(coordinator, name) for _ in range(3)]
    assert fences == sorted(set(fences))


async def test_a_client_in_the_network_and_one_on_the_host_exclude_each_other(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    async with coordinator.lock(name, ttl=TTL, wait=5, label="on the host") as lease:
        refused = await _in_network(stack, name)
    granted = await _in_network(stack, name)
    assert refused == {"held_by": ["on the host"]}
    assert granted["fence"] > lease.fence


async def test_a_client_of_another_epoch_is_turned_away(stack: Stack, name: str, tmp_path: Path) -> None:
    other = tmp_path / "cluster.yaml"
    other.write_text(CLUSTER_FILE.read_text().replace("epoch: 1", "epoch: 2"))
    async with Coordinator.from_config(other, network="public") as stranger:
        with pytest.raises(ClusterMismatch):
            await _fence(stranger, name)


@pytest.mark.parametrize("how", FAULTS)
async def test_a_lease_and_new_locks_live_on_while_one_node_is(
    stack: Stack, coordinator: Coordinator, name: str, how: str
) -> None:
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease:
        async with broken(stack, "node2", how=how):
            during = await _fence(coordinator, f"{name}-other")
            await asyncio.sleep(3 * TTL)
            lease.check()
        lease.check()
    assert await _fence(coordinator, f"{name}-other") > during
    assert await _fence(coordinator, name) > lease.fence


@pytest.mark.parametrize("how", FAULTS)
async def test_clients_that_start_while_one_node_is_broken_lock_on_both_sides(
    stack: Stack, name: str, how: str
) -> None:
    async with broken(stack, "node2", how=how):
        inside = await _in_network(stack, name)
        async with Coordinator.from_config(CLUSTER_FILE, network="public") as late:
            assert await _fence(late, name) > inside["fence"]


async def test_without_a_majority_each_missing_node_is_named(stack: Stack, coordinator: Coordinator, name: str) -> None:
    async with broken(stack, "node1", "node2", how="killed"):
        with pytest.raises(QuorumUnavailable) as caught:
            await _fence(coordinator, name)
    assert set(caught.value.causes) >= {"node1", "node2"}
    assert await _fence(coordinator, name) > 0


async def test_a_lease_survives_the_restart_of_every_node_in_turn(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease:
        for node in NODES:
            await asyncio.to_thread(run, "docker", "restart", stack.container(node))
            await asyncio.to_thread(stack.until_ready, node)
            lease.check()
        await asyncio.sleep(TTL)
        lease.check()
    assert await _fence(coordinator, name) > lease.fence


async def test_an_efficiency_lock_moves_to_the_next_host_when_its_first_is_killed(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    first = parse_cluster(CLUSTER_FILE.read_text()).preference(name)[0]
    async with broken(stack, first, how="killed"):
        begin = time.monotonic()
        async with coordinator.efficiency_lock(name, ttl=TTL, wait=5) as lease:
            assert time.monotonic() - begin < 2.0
            lease.check()
    async with coordinator.efficiency_lock(name, ttl=TTL, wait=5) as again:
        again.check()


async def test_an_efficiency_lease_is_lost_with_its_host(stack: Stack, coordinator: Coordinator, name: str) -> None:
    first = parse_cluster(CLUSTER_FILE.read_text()).preference(name)[0]
    acquired = asyncio.Event()

    async def hold() -> None:
        async with coordinator.efficiency_lock(name, ttl=TTL, wait=5):
            acquired.set()
            await asyncio.sleep(10 * TTL)

    holder = asyncio.create_task(hold())
    async with asyncio.timeout(5):
        await acquired.wait()
    async with broken(stack, first, how="killed"):
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(holder, 2 * TTL)
