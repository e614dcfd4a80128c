"""What happens to the disks of nodes: one is full and its node must end, one is lost and its node must rejoin."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Final

from tests.chaos.cluster import ChaosCluster
from tests.chaos.scene import Kind, Scene

_EX_IOERR: Final = 74
_ENDS_WITHIN: Final = 60.0
"""Seconds within which a node that is written to notices that its disk is full."""

_FULL_FILE: Final = 8_192
"""Bytes beyond which no file grows where no small disk can be mounted: less than any journal has."""


class DiskFaults:
    """Faults of the disks; `silence` is how long a node that forgot its leases is silent, in seconds."""

    def __init__(self, scene: Scene, cluster: ChaosCluster, silence: float) -> None:
        self._scene = scene
        self._cluster = cluster
        self._silence = silence

    def kinds(self) -> list[Kind]:
        return [
            Kind("disk_full", "disks", self._fill, seconds=15.0),
            Kind("disk_lost", "disks", self._lose, seconds=self._silence + 15.0),
        ]

    async def _fill(self, chance: Random) -> None:
        node = await self._scene.some_node(chance, self._cluster.small_disks)
        with self._scene.striking("disk_full", node):
            if node in self._cluster.small_disks:
                await self._fill_small_disk(node, spare=chance.randrange(64, 512) << 10)
            else:
                self._cluster.members[node].limit_files(_FULL_FILE)
            await self._ends(node)
            await self._cluster.free_disk(node)
            await self._cluster.start(node)

    async def _fill_small_disk(self, node: str, *, spare: int) -> None:
        """Restart the node on a disk with little room: its journal takes that soon, and has none allocated before."""
        await self._cluster.stop(node)
        await self._cluster.fill_disk(node, spare=spare)
        with suppress(RuntimeError):  # it may end before it has answered once
            await self._cluster.start(node, ready=False)

    async def _ends(self, node: str) -> None:
        """Wait until the node ends by itself."""
        member = self._cluster.members[node]
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN):
                while member.status is None:  # noqa: ASYNC110 - a process that ends sets no event
                    await asyncio.sleep(0.05)
        if member.status != _EX_IOERR:
            sentence = f"on a full disk {node} should end with status {_EX_IOERR}, not {member.status}"
            self._scene.on_violation(f"{sentence}; it said: {member.said()}")

    async def _lose(self, chance: Random) -> None:
        """Take a disk away; while its node is silent, others go on having faults of their own."""
        node = await self._scene.some_node(chance)
        with self._scene.striking("disk_lost", node):
            await self._cluster.kill(node)
            await self._cluster.wipe(node)
            await self._cluster.start(node)
