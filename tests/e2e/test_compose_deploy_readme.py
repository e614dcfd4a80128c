"""The procedures of deploy/README.md for docker-compose, run as they are written while leases are held."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.leases import DEAD, Rival, held_by, lease_of_the_dead, next_fence
from tests.e2e.stack import NODES, PROMPTLY, ROOT, SILENCE, Stack, compose_command

from lockmanager import Coordinator, LeaseLost

pytestmark = pytest.mark.compose

README = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
TTL = 5.0
"""Seconds; renewed many times during a procedure."""

Procedure = Callable[[str], str]


def shell_blocks(title: str) -> list[str]:
    """Return the shell blocks of one section."""
    (section,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^```sh\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def as_written(stack: Stack, tmp_path: Path) -> Procedure:
    """Runs all shell blocks of a section of the README, in order, against the running stack."""
    settings = {"COMPOSE_PROJECT_NAME": stack.project, "COMPOSE_FILE": str(ROOT / "docker-compose.yml")}
    if compose_command() == ("docker", "compose"):
        settings["PATH"] = f"{_compose_by_its_old_name(tmp_path)}:{os.environ['PATH']}"

    def play(title: str) -> str:
        script = "\n".join(shell_blocks(title))
        shell = ("bash", "-euc", script)
        done = subprocess.run(
            shell, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, f"{title}: {done.stdout}{done.stderr}"
        return done.stdout

    return play


def _compose_by_its_old_name(directory: Path) -> Path:
    commands = directory / "commands"
    commands.mkdir()
    command = commands / "docker-compose"
    command.write_text('#!/bin/sh\nexec docker compose "$@"\n')
    command.chmod(0o755)
    return commands


@pytest.mark.parametrize(
    ("title", "blocks"), [("Replace a node", 1), ("Move a journal", 2), ("Two nodes lost at once", 1)]
)
def test_the_procedure_is_there(title: str, blocks: int) -> None:
    assert len(shell_blocks(title)) == blocks


async def test_a_node_is_replaced_as_written_while_leases_live_on(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str, as_written: Procedure
) -> None:
    dead = f"{name}-dead"
    await asyncio.to_thread(lease_of_the_dead, dead)
    before = await asyncio.to_thread(stack.holders, "node2", dead)
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease, Rival(other, name) as rival:
        begin = time.monotonic()
        await asyncio.to_thread(as_written, "Replace a node")
        took = time.monotonic() - begin
        lease.check()
    assert rival.granted == 0
    assert took >= SILENCE
    assert await asyncio.to_thread(stack.holders, "node2", dead) == before
    assert await held_by(other, dead) == (DEAD,)
    assert await next_fence(other, name) > lease.fence


async def test_a_journal_is_moved_as_written_while_leases_live_on(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str, as_written: Procedure, tmp_path: Path
) -> None:
    dead = f"{name}-dead"
    await asyncio.to_thread(lease_of_the_dead, dead)
    before = await asyncio.to_thread(stack.holders, "node2", dead)
    async with coordinator.lock(name, ttl=TTL, wait=5) as lease, Rival(other, name) as rival:
        await asyncio.to_thread(as_written, "Move a journal")
        heard = await asyncio.to_thread(stack.until_ready, "node2", limit=PROMPTLY)
        moved = await asyncio.to_thread(stack.holders, "node2", dead)
        lease.check()
    assert rival.granted == 0
    assert {answer.status for answer in heard} <= {0}
    assert [holder["label"] for holder in before] == [DEAD]
    assert moved == before
    assert not (tmp_path / "node2.tar").exists()
    assert await next_fence(other, name) > lease.fence


async def test_two_lost_nodes_wait_for_the_word_that_nothing_is_held(
    stack: Stack, coordinator: Coordinator, other: Coordinator, name: str, as_written: Procedure
) -> None:
    lease = await coordinator.acquire(name, ttl=TTL, wait=5)
    await asyncio.to_thread(stack.lose_disk, "node1", "node2")
    await asyncio.to_thread(stack.start, "node1", "node2")
    async with Rival(other, name) as rival:
        await asyncio.wait_for(lease.lost.wait(), 3 * TTL)
        reasons = await asyncio.to_thread(_reasons_at_last, stack)
        assert rival.granted == 0
    with pytest.raises(LeaseLost):
        lease.check()
    await asyncio.to_thread(as_written, "Two nodes lost at once")
    await asyncio.to_thread(stack.until_ready, *NODES, limit=PROMPTLY)
    for reason in reasons:
        assert "it must learn from 2 peers what is held, and has learnt it from 1" in reason
        assert "--new-cluster" in reason
    assert await next_fence(other, name) > lease.fence


def _reasons_at_last(stack: Stack) -> list[str]:
    """Return what the two lost nodes say when their half minute is over."""
    end = time.monotonic() + 2 * SILENCE
    while any(stack.ready(node).body.get("remaining") != 0 for node in ("node1", "node2")):
        assert time.monotonic() < end, stack.logs()
        time.sleep(0.1)
    time.sleep(2)  # a last round of questions
    return [stack.ready(node).body["detail"] for node in ("node1", "node2")]
