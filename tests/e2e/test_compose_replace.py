"""A node of the stack that lost its disk: it is silent, says so, learns what is held, and only then grants again."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from tests.e2e.faults import broken
from tests.e2e.leases import DEAD, Rival, held_by, lease_of_the_dead, next_fence
from tests.e2e.stack import SILENCE, Answer, Stack, run

from lockmanager import Coordinator

pytestmark = pytest.mark.compose

WHY = "this node recovers: it has no journal of an earlier life"
PEERS = "(node1: it says the cluster is not new; node3: it says the cluster is not new)"
TTL = 5.0
"""Seconds; renewed many times while a node is silent."""


def _first_answer(stack: Stack, node: str) -> Answer:
    """Return the first thing a node says that knows what its peers say."""
    end = time.monotonic() + SILENCE / 2
    while (answer := stack.ready(node)).status == 0 or PEERS not in answer.body.get("detail", ""):
        assert answer.status != 200, "it was not silent"
        assert time.monotonic() < end, f"it never told what its peers say: {answer}"
    return answer


def _status(stack: Stack) -> dict[str, str]:
    """Return what `lockmanager status` says of each node that is not ready."""
    said = json.loads(stack.exec("node1", "lockmanager", "status", "--json"))
    return {node["id"]: node["cause"] for node in said["nodes"] if not node["ready"]}


async def test_a_node_that_lost_its_disk_is_silent_and_says_so_while_leases_live_on(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str
) -> None:
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease, Rival(other, name) as rival:
        await asyncio.to_thread(stack.lose_disk, "node2")
        await asyncio.to_thread(stack.start, "node2")
        answer = await asyncio.to_thread(_first_answer, stack, "node2")
        status = await asyncio.to_thread(_status, stack)
        state = (await asyncio.to_thread(stack.inspect, "node2"))["State"]
        elsewhere = [await next_fence(other, f"{name}-other") for _ in range(5)]
        heard = await asyncio.to_thread(stack.until_ready, "node2")
        log = await asyncio.to_thread(stack.logs, "node2")
        silent_for = time.time() - await asyncio.to_thread(stack.started_at, "node2")
        on_node2 = await asyncio.to_thread(stack.holders, "node2", name)
        await asyncio.sleep(TTL)
        lease.check()
    assert (answer.status, answer.body["code"]) == (503, "recovering")
    assert answer.body["detail"].startswith(WHY)
    assert 0 < answer.body["remaining"] <= SILENCE
    assert {(node, cause[: len(WHY)]) for node, cause in status.items()} == {("node2", WHY)}
    assert "WARNING node_recovering" in log
    assert f"reason={WHY}" in log
    assert (state["Status"], state["Health"]["Status"]) == ("running", "starting")
    assert {said.status for said in heard} == {503}
    assert silent_for >= SILENCE
    assert elsewhere == sorted(set(elsewhere))
    assert rival.granted == 0
    assert [holder["fence"] for holder in on_node2] == [lease.fence]
    assert await next_fence(other, name) > lease.fence


async def test_what_a_node_learns_of_its_lost_leases_excludes_others(
    stack: Stack, coordinator: Coordinator, name: str
) -> None:
    async with broken(stack, "node3", how="killed"):
        fence = await asyncio.to_thread(lease_of_the_dead, name)
    before = [await asyncio.to_thread(stack.holders, node, name) for node in ("node1", "node2", "node3")]
    await asyncio.to_thread(stack.lose_disk, "node2")
    await asyncio.to_thread(stack.start, "node2")
    await asyncio.to_thread(stack.wait_healthy)
    adopted = await asyncio.to_thread(stack.holders, "node2", name)
    await asyncio.to_thread(run, "docker", "restart", stack.container("node2"))
    async with broken(stack, "node1", how="killed"):
        await asyncio.to_thread(stack.until_ready, "node2")
        rival = await held_by(coordinator, name)
    await asyncio.to_thread(stack.revoke, name)
    assert before == [adopted, adopted, []]
    assert [(holder["label"], holder["fence"]) for holder in adopted] == [(DEAD, fence)]
    assert rival == (DEAD,)
    assert await next_fence(coordinator, name) > fence
