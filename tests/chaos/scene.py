"""What every fault knows of the run it breaks into: who is there, what was broken so far, and how much may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.chaos.clients import Client
from tests.chaos.resource import ResourceConnection

Lane = Literal["nodes", "connections", "clients", "control", "disks"]
"""Faults of one lane come one after the other, those of different lanes meet."""


@dataclass(frozen=True)
class Kind:
    """One thing that can go wrong: `strike` breaks it, lets it be so for a while, and mends it."""

    name: str
    lane: Lane
    strike: Callable[[Random], Awaitable[None]]
    seconds: float = 8.0
    """How long it takes at most, about: it does not begin when less time is left."""


@dataclass
class Scene:
    """One run under way. Parties in `busy` are out of order now, and are left alone by faults of other lanes."""

    nodes: Sequence[str]
    replicas: int
    clients: Mapping[str, Client]
    resource: ResourceConnection
    on_violation: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    busy: set[str] = field(default_factory=set)

    def count(self, kind: str) -> None:
        """Count one action of the nemesis."""
        self.counts[f"nemesis/{kind}"] += 1

    @contextmanager
    def striking(self, kind: str, *parties: str) -> Iterator[None]:
        """Count one action of the nemesis, if it has any victims, and keep those of other lanes off them meanwhile."""
        if parties:
            self.count(kind)
        with self.taking(*parties):
            yield

    @contextmanager
    def taking(self, *parties: str) -> Iterator[None]:
        """Keep faults of other lanes off some parties while the block runs."""
        self.busy.update(parties)
        try:
            yield
        finally:
            self.busy.difference_update(parties)

    @property
    def minority(self) -> int:
        """How many nodes may be out of order while every lock still has a majority."""
        return (self.replicas - 1) // 2

    @property
    def free(self) -> list[str]:
        """The nodes that may be broken."""
        return [node for node in self.nodes if node not in self.busy]

    async def some_node(self, chance: Random, among: Sequence[str] = ()) -> str:
        """Choose one node, or one of some; waits while all of them are busy."""
        while True:
            if found := [node for node in self.free if node in among or not among]:
                return chance.choice(found)
            await asyncio.sleep(0.1)

    def some_minority(self, chance: Random) -> list[str]:
        """Choose nodes, none when all are busy; together with one that is, they may be one too many."""
        return chance.sample(self.free, min(len(self.free), chance.randint(1, self.minority)))

    def some_majority(self, chance: Random) -> list[str]:
        """Choose so many nodes that without them some locks, or all, have no majority."""
        return chance.sample(self.free, chance.randint(min(len(self.free), self.minority + 1), len(self.free)))

    def some_client(self, chance: Random) -> Client:
        """Choose a client process that may be broken: the lanes that break them are fewer than they are."""
        return chance.choice([client for party, client in self.clients.items() if party not in self.busy])

    def some_way(self, chance: Random, *, proxied: bool) -> Client:
        """Choose a client process whose ways to the nodes are to break, whatever happens to the process itself."""
        return chance.choice([client for client in self.clients.values() if client.proxied or not proxied])
