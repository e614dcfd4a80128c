"""A command whose lock cannot be renewed is dead before anybody else can get the lock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from lockmanager import Coordinator
from lockmanager.clock import SystemClock
from lockmanager.testing import LocalCluster
from lockmanager.topology import render_yaml
from tests.support.cli import DEADLINE, Ending, eventually, is_alive, start, text_of
from tests.support.cut_off import CutOff, through_cut_off

pytestmark = pytest.mark.processes

TTL = 2.0

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1] + ".asked", "w").close())
os.fork()
with open(f"{sys.argv[1]}.{os.getpid()}", "w") as alive:
    while True:
        alive.seek(0)
        alive.write(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000:20}")
        alive.flush()
        time.sleep(0.001)
"""
"""Two processes that write down until when they lived and do not end when they are asked to."""


@pytest.fixture
async def local() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(3) as local:
        yield local


@pytest.fixture
async def coordinator(local: LocalCluster) -> AsyncIterator[Coordinator]:
    """Somebody else who wants the lock, and who is not cut off."""
    async with local.coordinator(label="the next") as coordinator:
        yield coordinator


@pytest.fixture
async def way(local: LocalCluster, tmp_path: Path) -> AsyncIterator[CutOff]:
    """The way to the nodes that `cluster.yaml` in `tmp_path` leads through."""
    async with through_cut_off(local.cluster) as (cluster, way):
        (tmp_path / "cluster.yaml").write_text(render_yaml(cluster))
        yield way


def run(tmp_path: Path, *command: str, ttl: float = TTL) -> Ending:
    config = str(tmp_path / "cluster.yaml")
    return Ending(start("run", "job", "--config", config, "--ttl", str(ttl), "--", *command))


def lives(tmp_path: Path) -> dict[int, int]:
    """Return until when each of the stubborn processes lived, by process id."""
    found = {int(path.suffix[1:]): text_of(path) for path in tmp_path.glob("alive.[0-9]*")}
    return {pid: int(text) for pid, text in found.items() if text}


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


async def soon(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, condition, what)


async def test_a_command_that_will_not_end_is_dead_with_its_children_before_the_next_holder(
    coordinator: Coordinator, way: CutOff, tmp_path: Path
) -> None:
    mark = tmp_path / "alive"
    with run(tmp_path, sys.executable, "-c", STUBBORN, str(mark)) as process:
        await soon(lambda: len(lives(tmp_path)) == 2, "both processes run")
        waiting = asyncio.create_task(coordinator.acquire("job", ttl=TTL))
        way.cut()
        async with asyncio.timeout(DEADLINE):
            lease = await waiting
        granted = SystemClock().now()
        await soon(lambda: process.poll() is not None, "run has ended")
        last = lives(tmp_path)
        said = said_by(process).splitlines()
        await lease.release()
    assert (tmp_path / "alive.asked").exists()
    assert len(last) == 2
    assert all(at < granted for at in last.values()), "a life went on after the next grant"
    assert not any(is_alive(pid) for pid in last)
    assert process.returncode == 79
    assert said
    assert all(line.startswith("lockmanager: ") for line in said)


async def test_a_command_that_ends_when_asked_even_while_it_stands_still_has_lost_its_lock_all_the_same(
    way: CutOff, tmp_path: Path
) -> None:
    script = f"trap 'touch {tmp_path}/asked; exit 0' TERM; touch {tmp_path}/ready; kill -STOP $$; sleep 60"
    with run(tmp_path, "sh", "-c", script) as process:
        await soon((tmp_path / "ready").exists, "the command runs")
        way.cut()
        await soon(lambda: process.poll() is not None, "run has ended")
    assert (tmp_path / "asked").exists()
    assert process.returncode == 79


async def test_one_node_that_is_gone_does_not_stop_the_command(
    local: LocalCluster, way: CutOff, tmp_path: Path
) -> None:
    done, mark, ttl = tmp_path / "done", tmp_path / "pid", 3 * TTL  # it must be kept: a busy machine may take its time
    script = f"echo $$ > {mark}; until [ -e {done} ]; do sleep 0.02; done; exit 3"
    with run(tmp_path, "sh", "-c", script, ttl=ttl) as process:
        await soon(lambda: text_of(mark), "the command runs")
        await local.kill("node1")
        async with local.coordinator() as watcher:
            for _ in range(2):
                await renewed(watcher, ttl)
        done.touch()
        await soon(lambda: process.poll() is not None, "run has ended")
    assert process.returncode == 3


async def test_a_revoked_lock_ends_the_command_at_once(local: LocalCluster, way: CutOff, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    with run(tmp_path, sys.executable, "-c", STUBBORN, str(mark)) as process:
        await soon(lambda: len(lives(tmp_path)) == 2, "both processes run")
        async with aiohttp.ClientSession() as http, asyncio.timeout(DEADLINE):
            for url in local.urls.values():
                body = {"name": "job", "space": "quorum", "force": False}
                async with http.post(f"{url}/v1/revoke", json=body) as answer:
                    assert answer.status == 200
        await soon(lambda: process.poll() is not None, "run has ended")
        said = said_by(process)
    assert process.returncode == 79
    assert "revoked" in said


async def renewed(watcher: Coordinator, ttl: float) -> None:
    """Wait until the lease has less than three quarters left, and then more: it was renewed."""

    async with asyncio.timeout(DEADLINE):
        for renewed_now in (False, True):
            while (await longest_left(watcher) > 0.75 * ttl) is not renewed_now:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def longest_left(watcher: Coordinator) -> float:
    """Return how many seconds the lease has left where it lasts longest."""
    report = await watcher.inspect("job")
    return max(holder.remaining for holder in report.holders)
