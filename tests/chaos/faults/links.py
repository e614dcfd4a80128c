"""What happens to the network: partitions of every shape, one-way ones too, and a cable that is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, product
from random import Random

from tests.chaos.namespaces import Network, Way
from tests.chaos.scene import Kind, Scene
from tests.chaos.threads import in_thread
from tests.chaos.ways import Ways


class LinkFaults:
    """Faults of the ways between the parties of a run; without a network of their own, of clients' ways only."""

    def __init__(self, scene: Scene, ways: Ways, network: Network | None) -> None:
        self._scene = scene
        self._ways = ways
        self._network = network

    def kinds(self) -> list[Kind]:
        kinds = [
            *self.client_kinds(),
            Kind("partition_node", "nodes", self._part_nodes),
            Kind("partition_one_way", "nodes", self._part_one_way),
            Kind("partition_halves", "nodes", self._part_halves),
        ]
        if self._network is not None:
            kinds += [
                Kind("partition_between_nodes", "nodes", self._part_between_nodes),
                Kind("network_disconnect", "nodes", self._disconnect),
            ]
        return kinds

    def client_kinds(self) -> list[Kind]:
        """Return those in which one client process is parted from nodes."""
        return [Kind("partition_client", "clients", self._part_client)]

    async def _part_nodes(self, chance: Random) -> None:
        """Cut a minority of the nodes off from everybody."""
        victims = self._scene.some_minority(chance)
        await self._blocked("partition_node", _both(victims, self._others(victims)), chance)

    async def _part_one_way(self, chance: Random) -> None:
        """Let a minority hear and not be heard, or be heard and not hear."""
        victims = self._scene.some_minority(chance)
        others = self._others(victims)
        ways = product(victims, others) if chance.random() < 0.5 else product(others, victims)
        await self._blocked("partition_one_way", ways, chance)

    async def _part_halves(self, chance: Random) -> None:
        """Divide everybody: some clients see a minority of the nodes, the others a majority."""
        nodes, clients = self._scene.some_minority(chance), list(self._scene.clients)
        side = [*nodes, *chance.sample(clients, len(clients) // 2)]
        await self._blocked("partition_halves", _both(side, self._others(side)), chance)

    async def _part_between_nodes(self, chance: Random) -> None:
        """Part the nodes from each other, while every client sees all of them."""
        pairs = [(one, other) for one, other in product(self._scene.nodes, repeat=2) if one != other]
        await self._blocked("partition_between_nodes", pairs, chance)

    async def _part_client(self, chance: Random) -> None:
        """Cut a client process off from some nodes or from all."""
        client = self._scene.some_way(chance, proxied=self._network is None).party
        nodes = chance.sample(list(self._scene.nodes), chance.randint(1, len(self._scene.nodes)))
        await self._blocked("partition_client", _both([client], nodes), chance)

    async def _disconnect(self, chance: Random) -> None:
        """Pull the cable of a node, as `docker network disconnect` does."""
        assert self._network is not None
        victim = await self._scene.some_node(chance)
        with self._scene.striking("network_disconnect", victim):
            await in_thread(self._network.pull_plug, victim)
            await asyncio.sleep(_some_time(chance))
            await in_thread(self._network.plug_in, victim)

    async def _blocked(self, kind: str, ways: Iterable[Way], chance: Random) -> None:
        blocked = list(ways)
        if blocked:
            self._scene.count(kind)
        await self._ways.block(blocked)
        await asyncio.sleep(_some_time(chance))
        await self._ways.open(blocked)

    def _others(self, side: Collection[str]) -> list[str]:
        return [party for party in [*self._scene.nodes, *self._scene.clients] if party not in side]


def _both(one: Sequence[str], other: Sequence[str]) -> Iterable[Way]:
    return chain(product(one, other), product(other, one))


def _some_time(chance: Random) -> float:
    return chance.choice((0.5, 1.5, 3.0, 5.0))
