"""What happens to connections that pass a fault proxy: resets, half-open ones, stalls in one direction, delays."""

from __future__ import annotations

import asyncio
from random import Random

from tests.chaos.scene import Kind, Scene


class ConnectionFaults:
    """Faults of the ways of clients that have a proxy."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def kinds(self) -> list[Kind]:
        return [
            Kind("connection_reset", "connections", self._reset),
            Kind("half_open", "connections", self._half_open),
            Kind("stall_one_way", "connections", self._stall),
            Kind("delay", "connections", self._slow),
        ]

    async def _reset(self, chance: Random) -> None:
        """Reset connections a few times, as a flapping firewall does."""
        client, nodes = self._scene.some_way(chance, proxied=True), self._some_nodes(chance)
        self._scene.count("connection_reset")
        for _ in range(chance.randint(1, 4)):
            await client.break_ways(nodes, "reset")
            await asyncio.sleep(chance.uniform(0, 0.3))

    async def _half_open(self, chance: Random) -> None:
        client, nodes = self._scene.some_way(chance, proxied=True), self._some_nodes(chance)
        self._scene.count("half_open")
        await client.break_ways(nodes, "half_open")
        await asyncio.sleep(chance.uniform(0.2, 4.0))
        await client.break_ways(nodes, "whole")

    async def _stall(self, chance: Random) -> None:
        client, nodes = self._scene.some_way(chance, proxied=True), self._some_nodes(chance)
        direction = chance.choice(("up", "down"))
        self._scene.count("stall_one_way")
        await client.break_ways(nodes, "stall", direction)
        await asyncio.sleep(chance.uniform(0.2, 4.0))
        await client.break_ways(nodes, "flow", direction)

    async def _slow(self, chance: Random) -> None:
        client, nodes = self._scene.some_way(chance, proxied=True), self._some_nodes(chance)
        self._scene.count("delay")
        await client.break_ways(nodes, "slow", chance.uniform(0.01, 0.4))
        await asyncio.sleep(chance.uniform(1.0, 8.0))
        await client.break_ways(nodes, "slow", 0.0)

    def _some_nodes(self, chance: Random) -> list[str]:
        nodes = list(self._scene.nodes)
        return chance.sample(nodes, chance.choice((1, self._scene.minority, len(nodes))))
