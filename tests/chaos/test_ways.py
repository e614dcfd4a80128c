"""Without a network of its own, a partition is what proxies hold up: in the right direction, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from tests.chaos.clients import Client
from tests.chaos.ways import ProxyWays


class _Client:
    """Keeps what its proxy is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    async def break_ways(self, nodes: Iterable[str], what: str, *how: str) -> None:
        self.told += [(node, what, *how) for node in nodes]


async def test_a_blocked_way_is_held_up_in_its_direction_by_the_proxy_of_its_client() -> None:
    clients = {"client1": _Client(), "client2": _Client()}
    ways = ProxyWays(cast("dict[str, Client]", clients))
    await ways.block([("client1", "node1"), ("node2", "client1")])
    await ways.open([("client1", "node1")])
    assert clients["client1"].told == [("node1", "stall", "up"), ("node2", "stall", "down"), ("node1", "flow", "up")]
    assert clients["client2"].told == []


async def test_ways_between_nodes_or_between_clients_are_nothing_a_proxy_could_hold_up() -> None:
    clients = {"client1": _Client(), "client2": _Client()}
    await ProxyWays(cast("dict[str, Client]", clients)).block([("node1", "node2"), ("client1", "client2")])
    assert [client.told for client in clients.values()] == [[], []]
