"""Who can reach whom: partitions by iptables between namespaces, or by the clients' proxies where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from tests.chaos.clients import Client
from tests.chaos.namespaces import Network, Way
from tests.chaos.threads import in_thread


class Ways(Protocol):
    """The ways between the parties of a run; a way blocked twice must be opened twice."""

    async def block(self, ways: Iterable[Way]) -> None: ...
    async def open(self, ways: Iterable[Way]) -> None: ...


class NetworkWays:
    """Packets are dropped where they arrive."""

    def __init__(self, network: Network) -> None:
        self._network: Final = network

    async def block(self, ways: Iterable[Way]) -> None:
        await in_thread(self._network.block, list(ways))

    async def open(self, ways: Iterable[Way]) -> None:
        await in_thread(self._network.open, list(ways))


class ProxyWays:
    """The proxies hold up what clients and nodes send each other; between nodes nothing is blocked."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients: Final = clients

    async def block(self, ways: Iterable[Way]) -> None:
        await self._tell(ways, "stall")

    async def open(self, ways: Iterable[Way]) -> None:
        await self._tell(ways, "flow")

    async def _tell(self, ways: Iterable[Way], what: str) -> None:
        for source, target in ways:
            if source in self._clients and target not in self._clients:
                await self._clients[source].break_ways([target], what, "up")
            elif target in self._clients and source not in self._clients:
                await self._clients[target].break_ways([source], what, "down")
