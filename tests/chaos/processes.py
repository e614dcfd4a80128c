"""The ground of node processes: in network namespaces where the machine permits it, else on loopback behind proxies."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from lockmanager.topology import Cluster
from tests.chaos.cluster import ChaosCluster
from tests.chaos.faults.clients import ClientFaults
from tests.chaos.faults.connections import ConnectionFaults
from tests.chaos.faults.disks import DiskFaults
from tests.chaos.faults.links import LinkFaults
from tests.chaos.faults.nodes import NodeFaults
from tests.chaos.namespaces import Namespace, Network
from tests.chaos.scene import Kind, Scene
from tests.chaos.undertaker import Undertaker
from tests.chaos.ways import NetworkWays, ProxyWays, Ways


class Processes:
    """`nodes` node processes, of which `replicas` decide about each lock; `silence` as in `ChaosCluster`."""

    network = "internal"

    def __init__(self, nodes: int, replicas: int, *, namespaces: bool, silence: float = 0.0) -> None:
        self._nodes = nodes
        self._replicas = replicas
        self._namespaces = namespaces
        self._silence = silence
        self._network: Network | None = None
        self._cluster: ChaosCluster

    async def open(
        self, parties: Sequence[str], directory: Path, undertaker: Undertaker, stack: AsyncExitStack
    ) -> Cluster:
        if self._namespaces:
            self._network = Network(undertaker)
            for party in parties:
                self._network.add(party)
        self._cluster = ChaosCluster(
            self._nodes,
            replicas=self._replicas,
            directory=directory,
            network=self._network,
            undertaker=undertaker,
            silence=self._silence,
        )
        await stack.enter_async_context(self._cluster)
        return self._cluster.cluster

    def namespace(self, party: str) -> Namespace | None:
        return None if self._network is None else self._network.namespace(party)

    def is_proxied(self, number: int) -> bool:
        return self._network is None or number % 2 == 0

    def kinds(self, scene: Scene) -> list[Kind]:
        ways: Ways = ProxyWays(scene.clients) if self._network is None else NetworkWays(self._network)
        return [
            *NodeFaults(scene, self._cluster).kinds(),
            *DiskFaults(scene, self._cluster, self._silence or 30.0).kinds(),
            *LinkFaults(scene, ways, self._network).kinds(),
            *ConnectionFaults(scene).kinds(),
            *ClientFaults(scene).kinds(),
        ]

    def check(self, scene: Scene) -> None:
        for node, member in self._cluster.members.items():
            if member.status is not None:
                scene.on_violation(f"{node} ended by itself with status {member.status}: {member.said()}")
