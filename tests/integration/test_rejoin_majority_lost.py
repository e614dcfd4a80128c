"""Two of three nodes lose their disks at once: nobody can know what is held, and everybody is told so."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lockmanager import Coordinator, QuorumUnavailable
from tests.support.cli import lockmanager
from tests.support.contested import contested
from tests.support.judge import Contest
from tests.support.quick_cluster import SILENCE, QuickCluster, Ready, quick_coordinators
from tests.support.side_by_side import Played, played
from tests.support.waiting import sessions_are_live, until, until_told

pytestmark = [pytest.mark.processes, pytest.mark.slow]

LOST = ("node1", "node2")
HINT = "start this one with --new-cluster if nothing can be held"


@dataclass(frozen=True)
class Told:
    """What everybody is told while two of three nodes do not know what was held."""

    ready: dict[str, Ready]
    status: subprocess.CompletedProcess[str]
    status_json: Any
    logs: dict[str, str]
    waited: QuorumUnavailable
    tried: QuorumUnavailable


@dataclass(frozen=True)
class Story:
    """What was told; whether the word of the node that knows changed anything; how it ended."""

    told: Told
    after_the_word_of_node3: list[Ready]
    log_of_node3: str
    log_of_node1: str
    after_the_word_of_node1: dict[str, Ready]
    fences: list[int]


async def majority_lost() -> Story:
    async with QuickCluster() as cluster:
        async with contested(cluster) as contest:
            pass
        await cluster.replace(*LOST, ready=False)
        for node in LOST:
            await until_told(lambda node=node: waits_for_a_peer(cluster, node), f"{node} waits")  # type: ignore[misc]
        async with cluster.coordinator() as coordinator:
            told = await what_is_told(cluster, coordinator)
            waiting = asyncio.create_task(coordinator.acquire("orders/42", ttl=2))
            await restart_with_the_word(cluster, "node3")
            await asyncio.sleep(SILENCE / 2)
            still = [await cluster.ready(node) for node in LOST]
            assert not waiting.done()
            log_of_node3 = cluster.quick["node3"].said()
            await restart_with_the_word(cluster, "node1")
            at_once = await cluster.ready("node1")
            await cluster.until_ready("node2")
            lease = await waiting
            await lease.release()
            log_of_node1 = cluster.quick["node1"].said()
        fences = [contest.judge.of("orders/42")[-1].fence, lease.fence]
        await goes_on(cluster, contest)
        ended = {"node1": at_once} | {node: await cluster.ready(node) for node in ("node2", "node3")}
        return Story(told, still, log_of_node3, log_of_node1, ended, fences)


async def waits_for_a_peer(cluster: QuickCluster, node: str) -> bool:
    return "has learnt it from 1" in (await cluster.ready(node)).detail


async def restart_with_the_word(cluster: QuickCluster, node: str) -> None:
    cluster.quick[node].options = ("--new-cluster", "--log-level", "info")
    await cluster.restart(node, ready=False)


async def what_is_told(cluster: QuickCluster, coordinator: Coordinator) -> Told:
    await sessions_are_live(coordinator)
    waited, tried = [await refusal(coordinator, wait) for wait in (0.5, 0)]
    config = str(cluster.config_path)
    status = await asyncio.to_thread(lockmanager, "status", "--config", config)
    as_json = await asyncio.to_thread(lockmanager, "status", "--json", "--config", config)
    quick = cluster.quick
    for node in LOST:
        await until(lambda node=node: HINT in quick[node].said(), f"the log of {node}")  # type: ignore[misc]
    logs = {node: quick[node].said() for node in LOST}
    ready = {node: await cluster.ready(node) for node in cluster.node_ids}
    return Told(ready, status, json.loads(as_json.stdout), logs, waited, tried)


async def refusal(coordinator: Coordinator, wait: float) -> QuorumUnavailable:
    with pytest.raises(QuorumUnavailable) as caught:
        await coordinator.acquire("orders/42", wait=wait)
    return caught.value


async def goes_on(cluster: QuickCluster, before: Contest) -> None:
    """See that locking goes on, with fences above all that were before."""
    async with contested(cluster) as contest:
        pass
    before.judge.holds += contest.judge.holds
    before.judge.check()


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with quick_coordinators(), played(majority_lost) as outcomes:
        outcome: Played = outcomes
        yield outcome(majority_lost)


def test_nodes_that_cannot_know_what_is_held_wait_and_name_who_is_missing(story: Story) -> None:
    for node, other in (LOST, LOST[::-1]):
        ready = story.told.ready[node]
        assert (ready.status, ready.code, ready.remaining, ready.retry_after) == (503, "recovering", 0, "1")
        assert "it must learn from 2 peers what is held, and has learnt it from 1" in ready.detail
        assert f"{other}: it recovers too" in ready.detail
        assert HINT in ready.detail
    assert story.told.ready["node3"].yes


def test_the_status_says_why(story: Story) -> None:
    status = story.told.status
    assert status.returncode == 69
    assert status.stderr == "lockmanager: 1 of 3 nodes are ready, 2 are needed\n"
    said = " ".join(status.stdout.split())
    assert said.count("not ready: this node recovers") == 2
    shown = {node["id"]: node for node in story.told.status_json["nodes"]}
    assert [shown[node]["ready"] for node in ("node1", "node2", "node3")] == [False, False, True]
    assert all(HINT in shown[node]["cause"] for node in LOST)


def test_the_log_says_why(story: Story) -> None:
    for log in story.told.logs.values():
        assert "WARNING node_recovering remaining=" in log
        assert HINT in log


def test_nobody_acquires_and_is_told_that_nodes_recover(story: Story) -> None:
    for refused in (story.told.waited, story.told.tried):
        assert refused.causes["node1"] == refused.causes["node2"] == "recovering"
        assert refused.needed == 2
    assert story.told.waited.reachable == 1


def test_the_word_of_a_node_that_knows_what_it_granted_changes_nothing(story: Story) -> None:
    assert [ready.code for ready in story.after_the_word_of_node3] == ["recovering"] * 2
    assert "new_cluster_ignored" in story.log_of_node3


def test_the_word_given_to_one_of_the_silent_nodes_ends_the_silence_of_both(story: Story) -> None:
    assert story.after_the_word_of_node1["node1"].yes
    assert all(ready.yes for ready in story.after_the_word_of_node1.values())
    assert "node_serves reason=the cluster is new" in story.log_of_node1


def test_fences_rise_across_the_operator_s_word(story: Story) -> None:
    before, after = story.fences
    assert before < after
