"""Hosts that are reached over wires: a node serves at its name, and aiohttp's clients connect to it by that name.

A client may have a name too: it writes the host `node1.first`, meaning node1 as `first` reaches it, so that the ways of
one client can be blocked.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from tests.virtual.loop import VirtualLoop
from tests.virtual.weather import SeededWeather
from tests.virtual.wires import Wire

PORT: Final = 8000


@dataclass(frozen=True)
class Place:
    """Where a server listens: stands for a socket that is bound."""

    node: str
    family: int = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return self.node, PORT


class _Listening:
    """A server until it is closed; what it accepted before goes on."""

    def __init__(self, close: Callable[[], object]) -> None:
        self.close = close


class Network:
    """All wires between everybody. `trace` holds what happened on each way, in order."""

    def __init__(self, weather: SeededWeather) -> None:
        self.weather = weather
        self.wires: list[Wire] = []
        self.trace: list[tuple[float, str, str, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._servers: dict[str, Callable[[], asyncio.Protocol]] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._numbers = 0

    def listen(self, place: Any, factory: Callable[[], asyncio.Protocol]) -> _Listening:
        self._servers[place.node] = factory
        return _Listening(lambda: self._servers.pop(place.node, None))

    async def connect(self, host: str, factory: Callable[[], ResponseHandler]) -> ResponseHandler:
        """Connect as a client; raises OSError. Without an answer it waits until it is cancelled."""
        node, _, client = host.partition(".")
        await asyncio.sleep(self.weather.delay())
        if self.is_blocked(client, node) or self.weather.swallows():
            await asyncio.Event().wait()
        if node not in self._servers or self.weather.refuses():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        wire = self._accepted(client, node)
        try:
            await asyncio.sleep(self.weather.delay())
        except asyncio.CancelledError:
            wire.near.attach(_Nobody())
            wire.near.abort()
            raise
        protocol = factory()
        wire.near.attach(protocol)
        return protocol

    def _accepted(self, client: str, node: str) -> Wire:
        self._numbers += 1
        wire = Wire(client, node, self.weather, self._note, self._numbers)
        self.wires = [*(wire for wire in self.wires if not wire.over), wire]
        wire.far.attach(self._servers[node]())
        self.weather.plan(wire)
        return wire

    def _note(self, way: str, event: str, data: bytes) -> None:
        self.trace.append((self._loop.time(), way, event, data))

    # Blocking

    def is_blocked(self, client: str, node: str) -> bool:
        return (client, node) in self._blocked

    def block(self, client: str, *nodes: str) -> None:
        """Let nothing pass between a client and nodes, in silence; what is under way waits."""
        self._blocked |= {(client, node) for node in nodes}
        for wire in self.wires:
            if self.is_blocked(wire.client, wire.server):
                wire.stall()

    def roughen(self, *lasting: float) -> None:
        """Let faults happen to all wires, which from now on last one of these seconds on average."""
        self.weather.roughen([wire for wire in self.wires if not wire.over], self.weather.chance.choice(lasting))

    def calm(self) -> None:
        """Let no more faults happen, and what waited arrive; what is blocked stays so."""
        self.weather.calm()
        for wire in self.wires:
            if not self.is_blocked(wire.client, wire.server):
                wire.resume()

    def open(self) -> None:
        """Let everything pass again, in calm weather."""
        self._blocked.clear()
        self.calm()

    def break_off(self, client: str) -> None:
        """Break all wires of a client; nothing of what is under way arrives."""
        for wire in self.wires:
            if wire.client == client:
                wire.up.keep(0)
                wire.reset()


class _Nobody(asyncio.Protocol):
    """Who connected and left at once."""


class _NoNames(AbstractResolver):
    """Names are looked up by nobody: the network knows them."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        del port, family
        raise AssertionError(f"{host} was looked up outside the network")

    async def close(self) -> None:
        pass


class WireConnector(aiohttp.TCPConnector):
    """Connects a client session over the network of the loop it runs on; stands in for aiohttp's own connector."""

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=_NoNames(), **options)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert isinstance(loop.exchange, Network)
        self._network = loop.exchange

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        del traces, timeout  # the caller keeps a deadline of its own
        assert req.url.host is not None
        try:
            return await self._network.connect(req.url.host, self._factory)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
