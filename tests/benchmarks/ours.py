"""Our own system under measurement: nodes as processes, one coordinator, the calls a user makes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from lockmanager import Coordinator, Lease
from lockmanager.testing import LocalCluster
from lockmanager.testing.process_node import ProcessNode
from lockmanager.topology import Limits

from .loops import AsyncSubject

TTL = 30.0
LEASES = 1_100_000
"""What a measured node accepts: a hundred thousand more than the default, for a crowd beside a million leases."""


class Ours(AsyncSubject):
    """LockManager with nodes in memory or with journals."""

    def __init__(self, nodes: int = 3, *, journal: bool = False, replicas: int = 0) -> None:
        self.key = "ours-journal" if journal else "ours"
        self.name = f"LockManager, {nodes} nodes, {'with journal' if journal else 'in memory'}"
        self.local = LocalCluster(nodes, processes=True, journal=journal, replicas=replicas)
        self.local.cluster = msgspec.structs.replace(self.local.cluster, limits=Limits(leases=LEASES))
        self._ends = AsyncExitStack()
        self._coordinator: Coordinator | None = None

    async def start(self) -> None:
        await self._ends.enter_async_context(self.local)
        self._coordinator = await self._ends.enter_async_context(self.local.coordinator(label="benchmark"))

    async def stop(self) -> None:
        self._coordinator = None
        await self._ends.aclose()

    @property
    def pids(self) -> Sequence[int]:
        nodes = self.local._nodes.values()
        return [node.pid for node in nodes if isinstance(node, ProcessNode) and node.pid is not None]

    @property
    def coordinator(self) -> Coordinator:
        """The client; only while started."""
        assert self._coordinator is not None
        return self._coordinator

    async def acquire(self, name: str) -> Lease:
        return await self.coordinator.acquire(name, ttl=TTL)

    async def release(self, handle: Lease) -> None:
        await handle.release()
