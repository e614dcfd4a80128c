"""The ground of containers: the cluster of docker-compose.yml, with clients on the host, some behind fault proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from lockmanager.topology import Cluster, parse_cluster
from tests.chaos.faults.clients import ClientFaults
from tests.chaos.faults.connections import ConnectionFaults
from tests.chaos.faults.containers import ContainerFaults
from tests.chaos.faults.links import LinkFaults
from tests.chaos.namespaces import Namespace
from tests.chaos.scene import Kind, Scene
from tests.chaos.threads import in_thread
from tests.chaos.undertaker import Undertaker
from tests.chaos.ways import ProxyWays
from tests.e2e.stack import CLUSTER_FILE, NODES, Stack, missing_engine, used_ports


def missing_containers() -> str | None:
    """Say why no containers can be run here now, or return None when they can."""
    if (reason := missing_engine()) is not None:
        return reason
    if ports := used_ports():
        return f"docker-compose.yml publishes ports {ports} on 127.0.0.1, and something listens there"
    return None


class Containers:
    """Three nodes in containers."""

    network = "public"

    def __init__(self) -> None:
        self._stack = Stack()

    async def open(
        self, _parties: Sequence[str], _directory: Path, undertaker: Undertaker, stack: AsyncExitStack
    ) -> Cluster:
        undertaker.note_project(self._stack.project)
        stack.push_async_callback(asyncio.to_thread, self._stack.down)
        await in_thread(self._stack.up)
        await in_thread(self._stack.wait_healthy)
        return parse_cluster(CLUSTER_FILE.read_text(encoding="utf-8"))

    def namespace(self, _party: str) -> Namespace | None:
        return None

    def is_proxied(self, number: int) -> bool:
        return number % 2 == 0

    def kinds(self, scene: Scene) -> list[Kind]:
        return [
            *ContainerFaults(scene, self._stack).kinds(),
            *LinkFaults(scene, ProxyWays(scene.clients), None).client_kinds(),
            *ConnectionFaults(scene).kinds(),
            *ClientFaults(scene).kinds(),
        ]

    def check(self, scene: Scene) -> None:
        for node in NODES:
            facts = self._stack.inspect(node)
            if facts["State"]["Status"] != "running" or facts["RestartCount"]:
                how = f"{facts['State']['Status']}, started again {facts['RestartCount']} times"
                scene.on_violation(f"{node} ended by itself ({how}): {self._stack.logs(node)}")
