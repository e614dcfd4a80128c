"""A client process: `python -m tests.chaos.client SETTINGS` (JSON) works until it is told to stop or its input ends.

Orders: {"do": "between"}: the next one who is about to write says so and goes on only when told {"do": "write"},
whatever happens to its lease meanwhile; {"do": "stop"}: end the cycles and leave.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from lockmanager import Coordinator
from tests.chaos.child import orders, say
from tests.chaos.history import Recorder
from tests.chaos.resource import KINDS, ResourceConnection
from tests.chaos.workload import TOGETHER, Pace, Surroundings, Worker, paced

_PATIENCE: Final = 300.0
"""Seconds one who was asked to wait before it writes does wait: far longer than it is ever stopped."""


class Settings(msgspec.Struct, frozen=True):
    """What a client process is told: `slots` are its clients, `life` is how often the process was started before."""

    cluster: str
    slots: list[str]
    life: int
    seed: int
    resource: str
    histories: dict[str, str]
    network: str = "internal"
    pace: Pace = Pace()


class _Gate:
    """Where the harness can hold up one writer."""

    def __init__(self) -> None:
        self._wanted = False
        self._go = asyncio.Event()

    async def between(self, lock: str) -> None:
        """Wait here if the harness wants one to."""
        if not self._wanted:
            return
        self._wanted = False
        self._go.clear()
        say(between=lock)
        async with asyncio.timeout(_PATIENCE):
            await self._go.wait()

    def close(self) -> None:
        self._wanted = True

    def open(self) -> None:
        self._wanted = False
        self._go.set()


async def work(settings: Settings) -> None:
    """Run all clients of the process; raises what none of them expects."""
    stopping, gate = asyncio.Event(), _Gate()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        around = await _surroundings(settings, stack, gate, stopping)
        workers: list[Worker] = []
        for slot in settings.slots:
            coordinator = Coordinator.from_config(settings.cluster, network=settings.network, label=slot)
            await stack.enter_async_context(coordinator)
            workers += _start(slot, settings, coordinator, around, tasks)
        say(ready=True)
        await _obey(gate)
        gate.open()
        stopping.set()
    say(efficiency=sum(worker.efficiency_cycles for worker in workers))


async def _surroundings(
    settings: Settings, stack: AsyncExitStack, gate: _Gate, stopping: asyncio.Event
) -> Surroundings:
    name = f"{'+'.join(settings.slots)}.{settings.life}"
    recorders = {kind: stack.enter_context(Recorder(Path(settings.histories[kind]), name)) for kind in KINDS}
    resource = await ResourceConnection.open(Path(settings.resource))
    stack.callback(resource.close)
    return Surroundings(
        recorders=recorders,
        resource=resource,
        between=gate.between,
        on_violation=lambda sentence: say(violation=sentence),
        stopping=stopping,
    )


def _start(
    slot: str, settings: Settings, coordinator: Coordinator, around: Surroundings, tasks: asyncio.TaskGroup
) -> list[Worker]:
    workers = []
    for sort, rate in msgspec.structs.asdict(settings.pace).items():
        names = [f"{slot}.{settings.life}.{sort}{number}" for number in range(TOGETHER.get(sort, 1))]
        several = [Worker(name, slot, coordinator, around, Random(f"{settings.seed}/{name}")) for name in names]
        cycles = [getattr(worker, sort) for worker in several]
        tasks.create_task(paced(cycles, rate, around.stopping, Random(f"{settings.seed}/{names}")))
        workers += several
    return workers


async def _obey(gate: _Gate) -> None:
    """Follow orders until the last one."""
    reader = await orders()
    while line := await reader.readline():
        match json.loads(line)["do"]:
            case "between":
                gate.close()
            case "write":
                gate.open()
            case "stop":
                return


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(work(msgspec.json.decode(sys.argv[1], type=Settings)))
