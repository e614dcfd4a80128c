"""One run of chaos, from its first process to its verdict; the ground it takes place on is the caller's."""

from __future__ import annotations

import asyncio
import resource as usage
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from lockmanager.topology import Cluster
from tests.chaos.child import Child, Said
from tests.chaos.clients import Client, Plan
from tests.chaos.history import now
from tests.chaos.judging import Judgement, note_final_values
from tests.chaos.namespaces import Namespace
from tests.chaos.nemesis import Nemesis
from tests.chaos.resource import KINDS, ResourceConnection, Totals
from tests.chaos.scene import Kind, Scene
from tests.chaos.undertaker import Undertaker
from tests.chaos.workload import CONTENDED, Pace

_PARTIES: Final = ("client1", "client2", "client3", "client4")
_PER_PROCESS: Final = 2
_START_DEADLINE: Final = 180.0
_CALMS_WITHIN: Final = 120.0
"""Seconds after the last fault within which every contended lock must be acquired again."""

_CALM: Final = 5
"""How often each contended lock must be acquired after the last fault."""


class Ground(Protocol):
    """Where a run takes place: the nodes, and what can happen to them."""

    @property
    def network(self) -> str:
        """Which of the nodes' addresses clients use."""
        ...

    async def open(
        self, parties: Sequence[str], directory: Path, undertaker: Undertaker, stack: AsyncExitStack, /
    ) -> Cluster:
        """Start the nodes of a new cluster, and leave their end to `stack`; client processes will be `parties`.

        All files of the nodes are in `directory`.
        """
        ...

    def namespace(self, party: str, /) -> Namespace | None:
        """Return where a client process is to run."""
        ...

    def is_proxied(self, number: int) -> bool:
        """Say whether the client process with this number reaches the nodes through a fault proxy."""
        ...

    def kinds(self, scene: Scene, /) -> list[Kind]:
        """Return all that can go wrong here."""
        ...

    def check(self, scene: Scene) -> None:
        """Tell the scene what is wrong with the nodes at the end, while all of them should run."""
        ...


@dataclass
class Outcome:
    """What one run found; `seconds` is how long things were broken."""

    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def actions(self) -> int:
        """How often the nemesis struck."""
        return sum(number for name, number in self.counts.items() if name.startswith("nemesis/"))


@dataclass(frozen=True)
class Run:
    """One run on some ground: everything it draws comes from `seed`, and all its files are in `directory`.

    With `all_kinds` it goes on until everything that can go wrong has done so once.
    """

    ground: Ground
    seconds: float
    seed: int
    directory: Path
    all_kinds: bool = False
    pace: Pace = field(default_factory=Pace)

    async def perform(self) -> Outcome:
        """Let clients lock while the nemesis strikes, and judge what they saw. Nothing is left, however it ends."""
        self.directory.mkdir(parents=True, exist_ok=True)
        outcome, before = Outcome(), _cpu_seconds()
        with Undertaker() as undertaker:
            async with AsyncExitStack() as stack:
                totals = await self._play(outcome, undertaker, stack)
        outcome.counts["milliseconds_of_cpu"] += round(1000 * (_cpu_seconds() - before))
        note_final_values(self.directory, totals)
        judgement = Judgement(self.directory, totals, outcome.counts["stale_writes_tried"])
        judgement.judge()
        outcome.counts.update(judgement.counts)
        outcome.violations += judgement.violations
        return outcome

    async def _play(self, outcome: Outcome, undertaker: Undertaker, stack: AsyncExitStack) -> dict[str, Totals]:
        cluster = await self.ground.open(_PARTIES, self.directory, undertaker, stack)
        resource = await self._start_resource(undertaker, stack)
        clients = await self._start_clients(self._plan(cluster, outcome, undertaker), stack)
        scene = Scene(cluster.node_ids, cluster.replicas, clients, resource, outcome.violations.append, outcome.counts)
        outcome.seconds = await self._strike(scene)
        await self._calms_down(scene)
        self.ground.check(scene)
        await asyncio.gather(*(client.stop() for client in clients.values()))
        outcome.counts["cycles/efficiency"] += sum(client.efficiency_cycles for client in clients.values())
        return await resource.report()

    def _plan(self, cluster: Cluster, outcome: Outcome, undertaker: Undertaker) -> Plan:
        return Plan(
            cluster=cluster,
            network=self.ground.network,
            seed=self.seed,
            directory=self.directory,
            resource=self._socket,
            pace=self.pace,
            undertaker=undertaker,
            on_violation=outcome.violations.append,
        )

    async def _strike(self, scene: Scene) -> float:
        """Let the nemesis strike; returns for how many seconds it did."""
        began = now()
        with (self.directory / "nemesis.log").open("w", encoding="utf-8") as log:
            nemesis = Nemesis(
                self.ground.kinds(scene),
                self.seed,
                scene.on_violation,
                on_strike=lambda what: print(f"{now() / 1e9:.3f} {what}", file=log, flush=True),
                all_kinds=self.all_kinds,
            )
            await nemesis.strike(self.seconds)
        return (now() - began) / 1e9

    @property
    def _socket(self) -> Path:
        return self.directory / "resource"

    async def _start_resource(self, undertaker: Undertaker, stack: AsyncExitStack) -> ResourceConnection:
        for kind in KINDS:
            (self.directory / kind).mkdir()
        listening = asyncio.Event()

        def heard(_said: Said) -> None:
            listening.set()

        child = await Child.start(
            "tests.chaos.resource",
            str(self._socket),
            undertaker=undertaker,
            log=self.directory / "resource.log",
            heard=heard,
        )
        stack.push_async_callback(child.end, _START_DEADLINE)
        async with asyncio.timeout(_START_DEADLINE):
            await listening.wait()
        connection = await ResourceConnection.open(self._socket)
        stack.callback(connection.close)
        return connection

    async def _start_clients(self, plan: Plan, stack: AsyncExitStack) -> dict[str, Client]:
        clients = {}
        for number, party in enumerate(_PARTIES):
            slots = [f"{party}{letter}" for letter in "ab"[:_PER_PROCESS]]
            client = clients[party] = Client(party, slots, plan, self.ground.namespace(party))
            stack.push_async_callback(client.end)
            if self.ground.is_proxied(number):
                await client.start_proxy()
        await asyncio.gather(*(client.start() for client in clients.values()))
        return clients

    async def _calms_down(self, scene: Scene) -> None:
        """Wait until everybody is served again: faults that are over leave nothing behind."""
        before, deadline = await _values(scene), now() + _CALMS_WITHIN * 1e9
        waiting = list(CONTENDED)
        while waiting and now() < deadline:
            await asyncio.sleep(0.2)
            values = await _values(scene)
            waiting = [lock for lock in CONTENDED if values.get(lock, 0) < before.get(lock, 0) + _CALM]
        if waiting:
            scene.on_violation(f"{_CALMS_WITHIN:g} s after the last fault nobody acquires {waiting}")


async def _values(scene: Scene) -> dict[str, int]:
    """Return what the counters have come to where fences are checked: every acquisition adds one."""
    return (await scene.resource.report())[KINDS[0]].values


def _cpu_seconds() -> float:
    """Return what this process and all children it has waited for have used."""
    return sum(
        used.ru_utime + used.ru_stime for used in map(usage.getrusage, (usage.RUSAGE_SELF, usage.RUSAGE_CHILDREN))
    )
