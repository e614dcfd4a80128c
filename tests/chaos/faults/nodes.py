"""What happens to node processes: killed, stopped for a while, ended in good order; one of them or too many."""

from __future__ import annotations

import asyncio
from random import Random

from tests.chaos.cluster import ChaosCluster
from tests.chaos.scene import Kind, Scene


class NodeFaults:
    """Faults of the nodes of one cluster."""

    def __init__(self, scene: Scene, cluster: ChaosCluster) -> None:
        self._scene = scene
        self._cluster = cluster

    def kinds(self) -> list[Kind]:
        return [
            Kind("sigkill_node", "nodes", self._kill),
            Kind("sigstop_node", "nodes", self._stop),
            Kind("sigterm_node", "nodes", self._terminate),
            Kind("sigkill_majority", "nodes", self._kill_majority),
            Kind("sigstop_majority", "nodes", self._stop_majority),
        ]

    async def _kill(self, chance: Random) -> None:
        await self._end("sigkill_node", "kill", self._scene.some_minority(chance), chance.uniform(0, 1.5))

    async def _kill_majority(self, chance: Random) -> None:
        await self._end("sigkill_majority", "kill", self._scene.some_majority(chance), chance.uniform(0, 0.5))

    async def _terminate(self, chance: Random) -> None:
        await self._end("sigterm_node", "stop", self._scene.some_minority(chance), chance.uniform(0, 1.0))

    async def _stop(self, chance: Random) -> None:
        await self._pause("sigstop_node", self._scene.some_minority(chance), chance.choice((0.3, 1.0, 2.5, 5.0)))

    async def _stop_majority(self, chance: Random) -> None:
        await self._pause("sigstop_majority", self._scene.some_majority(chance), chance.uniform(0.1, 2.0))

    async def _pause(self, kind: str, victims: list[str], seconds: float) -> None:
        with self._scene.striking(kind, *victims):
            await self._cluster.pause(*victims)
            await asyncio.sleep(seconds)
            await self._cluster.resume(*victims)

    async def _end(self, kind: str, how: str, victims: list[str], seconds: float) -> None:
        """End nodes, and start them again after a while."""
        with self._scene.striking(kind, *victims):
            self._check_running(victims)
            await getattr(self._cluster, how)(*victims)
            await asyncio.sleep(seconds)
            await self._cluster.start(*victims)

    def _check_running(self, victims: list[str]) -> None:
        for node in victims:
            member = self._cluster.members[node]
            if member.status is not None:
                self._scene.on_violation(f"{node} ended by itself with status {member.status}: {member.said()}")
