"""A node under load is killed at random moments and started again: nothing it acknowledged is forgotten.

`LOCKMANAGER_KILL_ROUNDS` says how often, `LOCKMANAGER_KILL_SEED` with which chance.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import aiohttp
import pytest

from lockmanager.clock import SystemClock
from lockmanager.testing.local_cluster import free_ports
from lockmanager.topology import Cluster, NodeAddress, render_yaml
from tests.support.ledger import Broken, Ledger
from tests.support.raw_session import RawSession, raw_session
from tests.support.zygote import Disk, Zygote

ROUNDS = int(os.environ.get("LOCKMANAGER_KILL_ROUNDS", "100"))
SEED = int(os.environ.get("LOCKMANAGER_KILL_SEED", "1"))
START_DEADLINE = 20.0

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120 + 2 * ROUNDS)]
_clock = SystemClock()


class Life:
    """One node on one disk, and its lives so far."""

    def __init__(self, zygote: Zygote, directory: Path, chance: Random) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.cluster = Cluster(name="killed", nodes=(NodeAddress("node1", self.url),))
        self.log = directory / "node.log"
        self.chance = chance
        self._zygote = zygote
        self._pid = 0
        config = directory / "cluster.yaml"
        config.write_text(render_yaml(self.cluster), encoding="utf-8")
        self._argv = ["--cluster", str(config), "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / "data")]

    def start(self) -> None:
        """Begin a life; in some the journal is tidied again and again, so that it is killed at that too."""
        disk = Disk(self.chance.choice([10, 30, 1_000]), self.chance.choice([0.0, 0.0, 0.002, 0.004]))
        self._pid = self._zygote.start(self._argv, self.log, disk)

    def kill(self) -> None:
        status = self._zygote.kill(self._pid)
        if status != -9:
            raise Broken(f"the node had ended with status {status} before it was killed: {self.log.read_text()}")

    def check_alive(self) -> None:
        if (status := self._zygote.poll(self._pid)) is not None:
            raise Broken(f"the node did not start: status {status}: {self.log.read_text()}")


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


async def test_a_node_killed_at_random_moments_forgets_nothing_it_acknowledged(zygote: Zygote, tmp_path: Path) -> None:
    chance = Random(SEED)
    life, ledger, kills = Life(zygote, tmp_path, chance), Ledger(chance), Counter[str]()
    outstanding = []
    async with aiohttp.ClientSession() as http:
        for number in range(1, ROUNDS + 1):
            try:
                kind = await play(http, life, ledger)
            except Broken as broken:
                raise Broken(f"seed {SEED}, round {number}: {broken}") from None
            kills[kind] += 1
            outstanding.append(len(ledger.held()))
    assert kills.total() == len(outstanding) == ROUNDS
    assert min(outstanding) >= 1
    assert kills["under load"] > ROUNDS // 2
    if ROUNDS >= 100:
        rare = {what for what in ("Granted", "Raised", "Renewed", "Released", "Queued") if ledger.seen[what] < ROUNDS}
        assert not rare, ledger.seen
        assert kills["while it starts"] > 0


async def play(http: aiohttp.ClientSession, life: Life, ledger: Ledger) -> str:
    """Let the node live once, from its start to its death; returns what it was doing then."""
    life.start()
    if ledger.held() and life.chance.random() < 0.1:
        await moment(life.chance.uniform(0, 0.06))
        life.kill()
        return "while it starts"
    await started(http, life, ledger)
    async with raw_session(http, life.url, life.cluster.fingerprint, "s" * 32) as session:
        await reclaim(session, ledger)
        await load(session, life, ledger)
    return "under load"


async def started(http: aiohttp.ClientSession, life: Life, ledger: Ledger) -> None:
    """Wait until the node answers, and compare what it lists with what it had acknowledged."""
    async with asyncio.timeout(START_DEADLINE):
        while True:
            try:
                query = {"space": "quorum", "limit": "1000"}
                async with http.get(f"{life.url}/v1/locks", params=query) as answer:
                    listed = await answer.json()
                    ledger.check_listed(listed["locks"], _clock.now())
                    return
            except aiohttp.ClientConnectionError:
                life.check_alive()
                await asyncio.sleep(0.001)  # nothing tells when it listens


async def reclaim(session: RawSession, ledger: Ledger) -> None:
    """Ask again for everything that must stand, and go on when the node has confirmed all of it."""
    messages = ledger.begin_life()
    await session.send(*messages, *ledger.next_messages())
    while ledger.unconfirmed or not ledger.held():
        frame = await session.frame()
        if frame is None:
            raise Broken(f"the node left with {ledger.unconfirmed} leases unconfirmed")
        ledger.hear(frame)
        if not ledger.held():
            await session.send(*ledger.next_messages())


async def load(session: RawSession, life: Life, ledger: Ledger) -> None:
    """Keep the node busy until it is killed after some frames, at any moment between two of them; hear all it said."""
    loop = asyncio.get_running_loop()
    frames, delay = life.chance.randint(1, 30), life.chance.choice([0.0, life.chance.uniform(0, 0.005)])
    await session.send(*ledger.next_messages())
    while (frame := await session.frame()) is not None:
        ledger.hear(frame)
        frames -= 1
        if frames == 0:
            loop.call_later(delay, life.kill)
        for _ in range(life.chance.randint(1, 3)):
            await session.send(*ledger.next_messages())
    if frames > 0:
        raise Broken("the node left by itself")


async def moment(length: float) -> None:
    """Let a random time pass: what is wanted is a moment nobody chose."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(length, passed.set)
    await passed.wait()
