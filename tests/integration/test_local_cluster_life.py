"""A local cluster leaves nothing running, whenever it is interrupted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lockmanager.testing import LocalCluster
from lockmanager.testing.thread_node import ThreadNode


async def test_a_cluster_cancelled_while_its_nodes_start_leaves_none_running(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    start = ThreadNode.start

    def slow_start(node: ThreadNode) -> None:
        entered.set()
        go_on.wait(10)
        start(node)

    monkeypatch.setattr(ThreadNode, "start", slow_start)
    before = set(threading.enumerate())
    local = LocalCluster(2)

    task = asyncio.create_task(local.__aenter__())
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("lock node")]
    assert left == []


async def test_a_node_that_cannot_listen_is_named_and_the_others_are_ended() -> None:
    first = LocalCluster(1)
    async with first:
        second = LocalCluster(1)
        second.cluster = first.cluster
        before = set(threading.enumerate())
        with pytest.raises(RuntimeError, match=r"node1 did not come up: .*[Aa]ddress already in use"):
            async with second:
                pytest.fail("it came up")
        left = [thread.name for thread in set(threading.enumerate()) - before if "journal" in thread.name]
        assert left == []


async def test_an_unknown_node_is_named() -> None:
    async with LocalCluster(1) as local:
        with pytest.raises(ValueError, match="no node 'node9' runs in this local cluster; there are node1"):
            await local.kill("node9")
