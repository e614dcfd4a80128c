"""What happens to containers: killed, paused, cut off, restarted, replaced by empty ones; as an operator would."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from tests.chaos.scene import Kind, Scene
from tests.chaos.threads import in_thread
from tests.e2e.faults import FAULTS, Fault
from tests.e2e.stack import HEALTHY_LIMIT, CommandFailed, Stack, run

_READY: Final = 200
_TRIES: Final = 5
"""How often the engine is asked to break one container: it cannot freeze a busy one at every attempt."""

_PAUSE: Final = 0.1
"""Seconds between two of them."""


class ContainerFaults:
    """Faults of the containers of one compose stack."""

    def __init__(self, scene: Scene, stack: Stack) -> None:
        self._scene = scene
        self._stack = stack

    def kinds(self) -> list[Kind]:
        return [
            Kind("docker_kill", "nodes", self._kill, seconds=15.0),
            Kind("docker_pause", "nodes", self._pause, seconds=15.0),
            Kind("docker_network_disconnect", "nodes", self._cut_off, seconds=15.0),
            Kind("docker_restart", "nodes", self._restart, seconds=15.0),
            Kind("docker_kill_majority", "nodes", self._kill_majority, seconds=15.0),
            Kind("docker_volume_lost", "disks", self._lose_disk, seconds=60.0),
        ]

    async def _kill(self, chance: Random) -> None:
        await self._broken("docker_kill", "killed", self._scene.some_minority(chance), chance.uniform(0, 2.0))

    async def _kill_majority(self, chance: Random) -> None:
        await self._broken("docker_kill_majority", "killed", self._scene.some_majority(chance), 0.0)

    async def _pause(self, chance: Random) -> None:
        seconds = chance.choice((0.5, 2.0, 5.0))
        await self._broken("docker_pause", "paused", self._scene.some_minority(chance), seconds)

    async def _cut_off(self, chance: Random) -> None:
        seconds = chance.choice((0.5, 2.0, 5.0))
        await self._broken("docker_network_disconnect", "cut off", self._scene.some_minority(chance), seconds)

    async def _restart(self, chance: Random) -> None:
        """Restart as an operator does: SIGTERM, and the same container again."""
        victims = self._scene.some_minority(chance)
        with self._scene.striking("docker_restart", *victims):
            for node in victims:
                await in_thread(run, "docker", "restart", "--time", "5", self._stack.container(node))
            await self._ready(victims)

    async def _lose_disk(self, chance: Random) -> None:
        """Take a container and its volume away, and make new ones, as after the loss of a machine."""
        node = await self._scene.some_node(chance)
        with self._scene.striking("docker_volume_lost", node):
            await in_thread(self._stack.lose_disk, node)
            await in_thread(self._stack.start, node)
            await self._ready([node])

    async def _broken(self, kind: str, how: str, victims: list[str], seconds: float) -> None:
        """Break what the engine is able to break, and mend it after a while."""
        fault = FAULTS[how]
        with self._scene.taking(*victims):
            broken = [node for node in victims if await self._breaks(kind, fault, node)]
            with self._scene.striking(kind, *broken):
                await asyncio.sleep(seconds)
                for node in broken:
                    await in_thread(fault.mend, self._stack, node)
                await self._ready(victims)

    async def _breaks(self, kind: str, fault: Fault, node: str) -> bool:
        """Break one container; each refusal of the engine is counted, and is no action of the nemesis."""
        for _ in range(_TRIES):
            try:
                await in_thread(fault.break_, self._stack, node)
            except CommandFailed:
                self._scene.counts[f"refused by the engine/{kind}"] += 1
                await asyncio.sleep(_PAUSE)
            else:
                return True
        return False

    async def _ready(self, nodes: list[str]) -> None:
        """Wait until nodes grant; one that does not is a violation."""
        try:
            async with asyncio.timeout(HEALTHY_LIMIT):
                for node in nodes:
                    while (await in_thread(self._stack.ready, node)).status != _READY:  # noqa: ASYNC110 - it tells nobody
                        await asyncio.sleep(0.1)
        except TimeoutError:
            said = await in_thread(self._stack.logs, *nodes)
            self._scene.on_violation(f"{nodes} do not grant after {HEALTHY_LIMIT:g} s: {said}")
