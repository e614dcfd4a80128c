"""One simulated run: nodes, clients, a network, and the faults a seed draws; then a majority is healed.

One seed gives one run, to the last byte of the last frame.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from random import Random
from typing import Final

from lockmanager.ballot import Link
from lockmanager.topology import Cluster, NodeAddress
from tests.simulation import client_faults, network_faults, node_faults
from tests.simulation.client import Habits, SimClient
from tests.simulation.clockwork import FASTEST, MICROSECONDS, NEVER, SLOWEST, Process, Scheduler, SimClock, Stuck
from tests.simulation.ending import Ending
from tests.simulation.findings import Broken, Findings
from tests.simulation.holders import Followed, Holders
from tests.simulation.kinds import KINDS
from tests.simulation.memory import Memory
from tests.simulation.network import Network
from tests.simulation.node import SimNode
from tests.simulation.node_rules import NodeRules
from tests.simulation.quiet import quiet
from tests.simulation.resource import Resource

FROM_THE_START: Final = (
    "clock as fast as allowed",
    "clock as slow as allowed",
    "clock rate beyond the limit",
    "ticket skew",
)
"""Kinds of faults that a run begins with, beside those that happen at an instant."""

_DEFINE_KINDS: Final = (network_faults, node_faults, client_faults)
_LONG_RUNS: Final = 0.15
"""How many of the runs in which nodes forget outlast their silence."""

_START_LIMIT: Final = 10 * MICROSECONDS
_DAY: Final = 24 * 3600 * MICROSECONDS
_SIZES: Final = ((1, 1), (2, 2), (3, 3), (3, 3), (3, 3), (3, 3), (4, 4), (5, 5), (5, 3), (6, 6), (7, 7), (7, 5))
"""How many nodes, and how many of them decide about a lock."""


class World:
    """Everything of one run. `kinds` restricts the faults it may draw; `faultless` draws none."""

    def __init__(self, seed: int, *, faultless: bool = False, kinds: tuple[str, ...] | None = None) -> None:
        self.seed = seed
        self.chance = chance = Random(f"world {seed}")
        self.findings = Findings()
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, Random(f"network {seed}"), self._trace)
        self.network.on_spike, self.network.on_fault = self._spiked, self._struck
        self.digest = blake2b(digest_size=16)
        self.end_of_time = NEVER
        self.pause_when_held: dict[str, int] = {}
        self.cancel_in_turns: dict[str, int] = {}
        self._troubles: dict[tuple[str, str], int] = {}
        self.faultless = faultless or (kinds is None and chance.random() < 0.1)
        self.kinds = self._draw_kinds(kinds)
        self.trusted = self.faultless or chance.random() >= 0.06
        self.habits = Habits(chance)
        self.ttl = int(self.habits.ttls[0] * MICROSECONDS)
        self.longest_ttl = int(max(self.habits.ttls) * MICROSECONDS)
        count, replicas = chance.choice(_SIZES)
        addresses = tuple(NodeAddress(id=f"node{n}", url=f"http://node{n}:8000") for n in range(1, count + 1))
        self.cluster = Cluster(name="simulated", nodes=addresses, replicas=replicas)
        self.majority = self.cluster.majority
        journals = chance.random() < 0.8
        self.rules = NodeRules(self.findings)
        self.nodes = {
            node: SimNode(
                node,
                self.cluster,
                self.scheduler,
                self.network,
                self._clock(),
                chance=Random(f"{node} {seed}"),
                journal=journals,
                watch=self,
            )
            for node in self.cluster.node_ids
        }
        for node in self.nodes.values():
            node.peers = self.nodes
        self.memory = Memory(self.nodes, may_fail=(replicas - 1) // 2)
        self.resource = Resource()
        self.holders = Holders(
            self.findings,
            self.rules,
            self.nodes,
            lambda: self.scheduler.now,
            trusted=self.trusted,
            faultless=self.faultless,
            is_healthy=self._is_healthy,
        )
        self.clients = [self._client(number) for number in range(1, chance.choice([1, 2, 2, 3, 4]) + 1)]
        for client in self.clients:
            self._place(client)
        self._interval = chance.choice([100_000, 300_000, MICROSECONDS])
        self._faults_end = 0

    # Drawing

    def _draw_kinds(self, kinds: tuple[str, ...] | None) -> tuple[str, ...]:
        if self.faultless:
            return ()
        names = sorted(KINDS)
        if kinds is not None:
            return kinds
        return tuple(self.chance.sample(names, self.chance.choice([1, 2, 4, 8, len(names)])))

    def _clock(self) -> SimClock:
        chance = self.chance
        base = chance.randrange(10**11)
        if self.faultless:
            return SimClock(self.scheduler, base=base)
        rate = chance.choice([1.0, 1.0, SLOWEST, FASTEST, chance.uniform(SLOWEST, FASTEST)])
        if not self.trusted and chance.random() < 0.5:
            rate = chance.choice([0.5, 0.9, 1.1, 2.0])
            self.findings.faults["clock rate beyond the limit"] += 1
        elif rate == FASTEST:
            self.findings.faults["clock as fast as allowed"] += 1
        elif rate == SLOWEST:
            self.findings.faults["clock as slow as allowed"] += 1
        ahead = 0
        if chance.random() < 0.2:
            ahead = chance.choice([-1, 1]) * chance.choice([50_000, 5 * MICROSECONDS, _DAY // 3])
            self.findings.faults["ticket skew"] += 1
        return SimClock(self.scheduler, base=base, rate=rate, wall_ahead=ahead)

    def _place(self, client: SimClient) -> None:
        """Let some clients be far away: what they ask arrives after what others asked later."""
        distance = self.chance.choice([0, 0, 20_000, 60_000])
        for node in self.nodes:
            for way in (self.network.way(client.name, node), self.network.way(node, client.name)):
                way.base += distance

    def _client(self, number: int) -> SimClient:
        return SimClient(
            f"client{number}",
            self.cluster,
            self.scheduler,
            self.network,
            self._clock(),
            chance=Random(f"client {number} {self.seed}"),
            habits=self.habits,
            nodes=self.nodes,
            resource=self.resource,
            watch=self,
            workers=self.chance.choice([1, 1, 2, 3]),
        )

    # What faults ask

    @property
    def now(self) -> int:
        """The true time in microseconds."""
        return self.scheduler.now

    def duration(self) -> int:
        """Draw how long a fault lasts, up to three ttl."""
        ttl = self.chance.choice([self.ttl, self.ttl, self.longest_ttl])
        return self.chance.choice([10_000, ttl // 10, ttl // 3, ttl, self.chance.randrange(3 * ttl), 3 * ttl])

    def processes(self) -> list[Process]:
        """Return the processes of all clients and nodes that were ever started."""
        everybody: list[SimClient | SimNode] = [*self.clients, *self.nodes.values()]
        return [one.process for one in everybody if hasattr(one, "process")]

    def clocks(self) -> list[SimClock]:
        """Return the clocks of all machines."""
        return [*(client.clock for client in self.clients), *(node.clock for node in self.nodes.values())]

    def some_client(self) -> SimClient:
        return self.chance.choice(self.clients)

    def some_node(self) -> SimNode:
        return self.chance.choice(list(self.nodes.values()))

    def some_live_node(self, *, journal: bool | None = None) -> SimNode | None:
        """Return a node that is up, with a journal or without."""
        found = [
            node for node in self.nodes.values() if node.up and (journal is None or (node.disk is not None) is journal)
        ]
        return self.chance.choice(found) if found else None

    def some_mortal_node(self, *, journal: bool = True) -> SimNode | None:
        """Return a node that is up and may die."""
        node = self.some_live_node(journal=journal)
        return node if node is not None and self.memory.may_crash(node) else None

    def restart(self, node: SimNode) -> None:
        """Start a node that is down, unless that is for ever."""
        if not node.up and node.name not in self.memory.given_up:
            node.start()

    def block(self, source: str, target: str, duration: int) -> None:
        """Let nothing through from one place to another for a while."""
        if self.now >= self.end_of_time:
            return
        self.network.block(source, target)
        self.trouble(source, target, self.now + duration + 2 * MICROSECONDS)
        self.scheduler.after(duration, partial(self._unblock, source, target))

    def _unblock(self, source: str, target: str) -> None:
        if self.now < self.end_of_time:
            self.network.open(source, target)

    def trouble(self, one: str | None, other: str | None, until: int) -> None:
        """Note that the way between two places (None: every place) is in trouble until an instant."""
        for client in self.clients:
            for node in self.nodes:
                if {one, other} - {None} <= {client.name, node}:
                    key = (client.name, node)
                    self._troubles[key] = max(self._troubles.get(key, 0), until)

    def _struck(self, kind: str) -> None:
        self.findings.faults[kind] += 1

    def _spiked(self, source: str, target: str, delay: int) -> None:
        self._struck("message delayed")
        self.trouble(source, target, self.now + 2 * delay + 2 * MICROSECONDS)

    def _is_healthy(self, one: Followed) -> bool:
        """Whether no loss is excused: its lease stands at a majority of nodes that nothing kept from renewing it.

        Either nothing touched the node and the way to it for so long that no trace is left of that, or nothing did for
        a ttl, and half of one is left of the lease.
        """
        acquisition = one.run.acquisition
        of_late = self.now - int(1.1 * acquisition.longest_ttl) - 2 * MICROSECONDS
        well = keeping = 0
        for vote in acquisition.ballot.votes:
            left = self._left_at(self.nodes[vote.node], one) if vote.link is Link.LIVE else 0
            trouble = self._troubles.get((one.client.name, vote.node), -1)
            well += left > 0 and self.no_trace_of_trouble(one.client.name, vote.node)
            keeping += left > acquisition.ttl // 2 and trouble < max(0, of_late)
        return self.trusted and max(well, keeping) >= acquisition.ballot.majority

    def no_trace_of_trouble(self, client: str, node: str) -> bool:
        """Whether nothing touched a node and the way to it for so long that what was late is over."""
        long_ago = self.now - 2 * self.longest_ttl - 35 * MICROSECONDS
        return self._troubles.get((client, node), -1) < max(0, long_ago)

    def _left_at(self, node: SimNode, one: Followed) -> int:
        """Return how long the lease still stands at a node."""
        lease = node.table.lease(one.run.acquisition.token) if node.up else None
        return 0 if lease is None else lease.deadline - node.clock.now()

    # Watching

    def _trace(self, source: str, target: str, data: bytes) -> None:
        self.digest.update(f"{self.scheduler.now} {source} {target} ".encode())
        self.digest.update(data)

    def node_starts(self, node: SimNode) -> None:
        self.rules.starts(node)

    def node_receives(self, node: SimNode, data: bytes) -> None:
        self.rules.receives(node, data)

    def node_sends(self, node: SimNode, data: bytes) -> None:
        if node.up:
            self.rules.sends(node, data)

    def node_turned(self, node: SimNode) -> None:
        self.rules.turned(node)

    def client_sends(self, client: SimClient, node: str, data: bytes) -> None:
        self.holders.sends(client, node, data)

    def client_dies(self, client: SimClient) -> None:
        self.holders.dies(client)

    def client_turned(self, client: SimClient) -> None:
        self.holders.turned(client)
        if client.name in self.pause_when_held:
            self._pause_if_held(client)
        if client.name in self.cancel_in_turns and client.operations:
            self._count_down(client)

    def _pause_if_held(self, client: SimClient) -> None:
        now = self.scheduler.now
        if any(one.client is client and one.held_at == now for one in self.holders.followed()):
            until = self.pause_when_held.pop(client.name)
            client.process.pause(until)
            self.trouble(client.name, None, now + until + 2 * MICROSECONDS)
            self.findings.faults["client paused between majority and return"] += 1

    def _count_down(self, client: SimClient) -> None:
        self.cancel_in_turns[client.name] -= 1
        if self.cancel_in_turns[client.name] <= 0:
            del self.cancel_in_turns[client.name]
            self.chance.choice(client.operations).cancel()
            self.findings.faults["cancelled at some turn"] += 1

    def wrote(self, name: str, seen: int, fence: int, *, accepted: bool) -> None:
        """A write that was accepted lost none that came before it."""
        row = self.resource.row(name)
        lost = accepted and row.value != row.accepted
        self.findings.check("no stale write", not lost, name, "lost an update: fence", fence, "had read", seen)

    def went_wrong(self, where: str, what: str) -> None:
        self.findings.break_("nothing unexpected", where, what)

    # Running

    def run(self) -> Findings:
        """Run to the end; raises Broken, or Stuck, with the seed."""
        with quiet(self.processes, self.findings):
            try:
                self._run()
            except (Broken, Stuck) as error:
                raise Broken(f"seed {self.seed} at {self.now / MICROSECONDS:.6f} s: {error}") from error
            finally:
                for process in self.processes():
                    process.kill()
        self.findings.seen["stale requests refused"] = sum(row.refused for row in self.resource.rows.values())
        self.findings.seen["frames"] = self.network.frames
        self.findings.seen["events"] = self.scheduler.events
        self.findings.seen["simulated_seconds"] = self.now // MICROSECONDS
        self.findings.check("nothing unexpected", not self.findings.notes, "logged:", self.findings.notes[:3])
        return self.findings

    def _run(self) -> None:
        for node in self.nodes.values():
            node.start()
        self.scheduler.run(_START_LIMIT, done=lambda: all(node.grants for node in self.nodes.values()))
        if not all(node.grants for node in self.nodes.values()):
            self.findings.break_("progress after healing", "a new cluster does not serve")
        for client in self.clients:
            client.start()
        lasts = self._draw_length()
        self._faults_end = self.now + lasts
        self._plan_fault()
        self.scheduler.run(self._faults_end)
        Ending(self).run()

    def _draw_length(self) -> int:
        """Draw how long faults strike: some runs outlast the silence of a node that forgot everything."""
        forgets = {"disk lost", "node crash without journal"} & set(self.kinds)
        if forgets and self.chance.random() < _LONG_RUNS:
            self.habits.take_it_easy(self.chance)
            self._interval = self.chance.choice([1, 4]) * MICROSECONDS
            return self.chance.randint(60, 120) * MICROSECONDS
        return self.chance.choice([2, 4, 8]) * MICROSECONDS

    def _plan_fault(self) -> None:
        if self.kinds:
            self.scheduler.after(int(self.chance.expovariate(1 / self._interval)), self._strike)

    def _strike(self) -> None:
        if self.now >= self._faults_end:
            return
        kind = self.chance.choice(self.kinds)
        if KINDS[kind](self):
            self._struck(kind)
        self._plan_fault()


def digest(seed: int) -> str:
    """Run a seed and return the digest of everything that crossed its network."""
    world = World(seed)
    world.run()
    return world.digest.hexdigest()
