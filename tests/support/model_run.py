"""A table meets an acquisition: real clients and real nodes, with a scheduler in place of the network and the clock.

Everything between them is a queue that keeps its order and nothing else: any message may be late, any connection may
break, stall or come back, any client may stand still, a minority of nodes may fall silent for ever. Clocks run at
rates that differ by less than 1 %. One seed gives one run. After every step the `World` looks at what must hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from lockmanager.ballot import Link
from lockmanager.wire import Mode, Release, UpMessage
from tests.support.model_nodes import Node, Timepiece
from tests.support.model_parts import TTL, Client, Plan, Wire

ROUNDS = 3
STEPS_LIMIT = 30_000
QUICK, SLUGGISH = (50, 500, 5_000), (500, 20_000, TTL // 5)
"""How much time passes between two steps: messages are fast against the ttl, or leases end while they travel."""
MIXED = ("break", "break", "stall", "stall", "pause", "part", "slow", "silence")
SHAKY = ("break",)
LATE = ("slow", "slow", "part", "stall")
INSISTENT = ("again", "again", "again", "stall")
DEADLY = ("crash", "crash", "lose a disk", "lose a disk", "blackout", "part", "slow", "pause")
"""Nodes die and come back, with their journals or without."""
LONGEST = 3 * TTL


class Broken(AssertionError):
    """The model found what may not happen."""


class World:
    """All of it, and the common clock that only the scheduler and the invariants read."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int,
        clients: int,
        trouble: tuple[str, ...] | None = None,
        shared: float | None = None,
    ) -> None:
        self.chance = chance = Random(seed)
        self.instant = 0
        self.seen: Counter[str] = Counter()
        self.troubles = chance.choice([0, 20, 80])
        self.kinds_of_trouble = trouble or chance.choice([MIXED, SHAKY, LATE, INSISTENT, DEADLY])
        self.pace = chance.choice([QUICK, SLUGGISH])
        self.fences: dict[Mode, int] = dict.fromkeys(Mode, 0)
        shared = chance.choice([0.0, 0.3, 0.6]) if shared is None else shared
        self.nodes = [Node(f"node{n}", self._clock(), n) for n in range(1, nodes + 1)]
        self.clients = [
            Client(f"client{n}", self._clock(), chance.choice([0, 50_000, -50_000, 60_000_000]), [], self)
            for n in range(1, clients + 1)
        ]
        for client in self.clients:
            client.plans = [self._plan(shared) for _ in range(ROUNDS)]
        self.wires = [self._wire(client, node) for client in self.clients for node in self.nodes]
        self.promised = sum(plan.is_promised for client in self.clients for plan in client.plans)
        self.may_fail = (nodes - 1) // 2
        self.script: list[tuple[int, Callable[[], None]]] = []

    def _clock(self) -> Timepiece:
        return Timepiece(self.chance.randrange(10**12), self.chance.randint(-4_000, 4_000))

    def _plan(self, shared: float) -> Plan:
        chance = self.chance
        return Plan(
            mode=Mode.SHARED if chance.random() < shared else Mode.EXCLUSIVE,
            patient=chance.random() < 0.85,
            ttl=LONGEST if chance.random() < 0.2 else TTL,
            hold=chance.choice([0, 1_000, 50_000, TTL // 2, 2 * TTL]),
            give_up_after=chance.randrange(TTL) if chance.random() < 0.1 else None,
        )

    def _wire(self, client: Client, node: Node) -> Wire:
        wire = client.wires[node.name] = node.wires[client.name] = Wire(client, node)
        wire.back_at = self.chance.randrange(5_000)
        return wire

    # What must hold

    def note_held(self, mode: Mode, fence: int) -> None:
        """Fences rise in the order of holding, over everybody the new holder must come after."""
        self.seen["held"] += 1
        below = max(self.fences.values()) if mode is Mode.EXCLUSIVE else self.fences[Mode.EXCLUSIVE]
        if fence <= below:
            raise Broken(f"a fence went back: {fence} after {below}")
        self.fences[mode] = max(self.fences[mode], fence)

    def check_exclusion(self) -> None:
        holding = [client for client in self.clients if client.holds]
        if len(holding) > 1 and any(client.plan.mode is Mode.EXCLUSIVE for client in holding):
            raise Broken(f"two holders at once: {[client.name for client in holding]}")
        self.seen["readers together"] += len(holding) > 1

    def check_clean(self) -> None:
        for node in self.serving():
            if self.seen["crashes"] or self.seen["disks lost"]:
                node.expire(self.instant + 2 * LONGEST)  # what a dead node was told to end may have come back
            if node.table.lease_count or node.table.waiter_count:
                raise Broken(f"{node.name} keeps what was released")

    # The scheduler

    def run(self) -> Counter[str]:
        """Run until everybody is done and every release is confirmed; return what was seen."""
        for step in range(STEPS_LIMIT):
            if not self.step():
                self.seen["steps"] = step
                self.check_clean()
                return self.seen
            self.check_exclusion()
        waiting = [client.name for client in self.clients if not client.done]
        raise Broken(f"stuck: {waiting} of {len(self.clients)} clients wait for ever")

    def step(self) -> bool:
        """Do one thing that may happen now, or let time pass; say whether anything is left to do."""
        if self.troubles and self.chance.random() < 0.05:
            self.troubles -= 1
            self.make_trouble()
        while self.script and self.script[0][0] <= self.instant:
            self.script.pop(0)[1]()
        possible = list(self.possible())
        if possible and self.chance.random() < 0.9:
            self.chance.choice(possible)()
            return True
        if all(client.done for client in self.clients) and not self.unfinished():
            return False
        self.pass_time(idle=not possible)
        return True

    def unfinished(self) -> bool:
        return any(wire.unconfirmed or wire.up for wire in self.wires if not wire.node.silent)

    def possible(self) -> Iterator[Callable[[], None]]:
        for client in self.clients:
            if client.stands_still_until <= self.instant:
                yield from client.due()
        for node in self.nodes:
            yield from self.possible_of(node)
        for wire in self.wires:
            yield from self.possible_on(wire)

    def possible_on(self, wire: Wire) -> Iterator[Callable[[], None]]:
        if wire.node.silent or max(wire.stalled_until, wire.node.down_until) > self.instant:
            return
        if not wire.open:
            if wire.back_at <= self.instant:
                yield lambda: self.connect(wire)
            if wire.known_to_node:
                yield lambda: wire.node.end_session(wire, self.instant)
            return
        if wire.up:
            yield lambda: wire.node.receive(wire, self.instant)
        if wire.decided and wire.node.syncs_until <= self.instant:
            yield lambda: wire.node.send(wire)
        if wire.down and wire.client.stands_still_until <= self.instant:
            yield lambda: wire.client.receive(wire)

    def pass_time(self, *, idle: bool) -> None:
        if not idle:
            self.instant += self.chance.choice(self.pace if self.troubles else QUICK)
            return
        at = [at for client in self.clients for at in (*client.next_instants(), client.stands_still_until)]
        at += [one for wire in self.wires for one in (wire.stalled_until, wire.back_at)]
        at += [one for node in self.nodes for one in (node.syncs_until, node.down_until)]
        at += [instant for instant, _ in self.script[:1]]
        ahead = min((one for one in at if one > self.instant), default=self.instant + TTL // 10)
        self.instant = min(ahead + 1, self.instant + TTL // 10)

    # Sessions and troubles

    def connect(self, wire: Wire) -> None:
        """Open the session; the node may not have noticed yet that the one before is gone."""
        wire.clear()
        wire.open = wire.known_to_node = True
        wire.newest_sent = wire.client.now
        releases: list[UpMessage] = [Release(one) for one, until in wire.unconfirmed.items() if until > self.instant]
        wire.unconfirmed = {one: until for one, until in wire.unconfirmed.items() if until > self.instant}
        if releases:
            wire.up.append((wire.client.now, releases))
        wire.client.on_link(wire.node.name, Link.LIVE)

    def disconnect(self, wire: Wire) -> None:
        wire.clear()
        wire.open = False
        wire.back_at = self.instant + self.chance.choice([100, 10_000, TTL // 2, 2 * TTL])
        wire.client.on_link(wire.node.name, Link.DOWN)

    def make_trouble(self) -> None:
        holding = [client for client in self.clients if client.holds]
        wire, client = self.chance.choice(self.wires), self.chance.choice(holding or self.clients)
        until = self.instant + self.chance.choice([10_000, TTL // 10, TTL // 3, 3 * TTL])
        match self.chance.choice(self.kinds_of_trouble):
            case "break" if wire.open:
                self.disconnect(wire)
            case "again" if wire.open:
                wire.client.on_link(wire.node.name, Link.LIVE)
            case "stall":
                wire.stalled_until = until
            case "pause":
                client.stands_still_until = until
            case "part":
                for one in self.chance.sample(list(client.wires.values()), len(self.nodes) // 2 + 1):
                    one.stalled_until = until
            case "bare":
                for one in self.chance.sample(list(client.wires.values()), (len(self.nodes) - 1) // 2):
                    one.stalled_until = self.instant + 4 * TTL
            case deadly:
                self.let_nodes_suffer(deadly)

    def let_nodes_suffer(self, trouble: str) -> None:
        match trouble:
            case "slow":
                for node in self.nodes:
                    node.syncs_until = self.instant + TTL // 3
            case "silence" if self.may_fail:
                self.may_fail -= 1
                self.fall_silent(self.chance.choice(self.serving()))
            case "crash":
                self.crash(self.chance.choice(self.serving()))
            case "blackout":
                for node in self.serving():
                    self.crash(node)
            case "lose a disk" if self.may_fail:
                self.may_fail -= 1
                self.lose_disk(self.chance.choice(self.relied_on() or self.serving()))

    def serving(self) -> list[Node]:
        return [node for node in self.nodes if not node.silent and node.rejoin is None]

    def relied_on(self) -> list[Node]:
        """Return the nodes whose forgetting hurts most: somebody holds a lease there."""
        holding = [client.acquisition for client in self.clients if client.holds and client.acquisition is not None]
        granted = {vote.node for acquisition in holding for vote in acquisition.ballot if vote.grant is not None}
        return [node for node in self.serving() if node.name in granted]

    def crash(self, node: Node) -> None:
        self.seen["crashes"] += 1
        self.go_down(node)
        node.crash(self.instant, self.chance)

    def lose_disk(self, node: Node) -> None:
        self.seen["disks lost"] += 1
        self.go_down(node)
        peers = [other for other in self.nodes if other is not node]
        node.lose_disk(peers, len(self.nodes) - len(self.nodes) // 2, self.instant)

    def go_down(self, node: Node) -> None:
        node.down_until = self.instant + self.chance.choice([0, 1_000, TTL // 2, 2 * TTL])
        for wire in node.wires.values():
            wire.known_to_node = False
            if wire.open:
                self.disconnect(wire)

    def possible_of(self, node: Node) -> Iterator[Callable[[], None]]:
        if node.silent or node.down_until > self.instant:
            return
        if node.is_due(self.instant):
            yield partial(node.expire, self.instant)
        if node.rejoin is None:
            return
        if node.told:
            yield partial(self.hear, node)
        if len(node.told) < len(self.nodes):
            for peer in self.nodes:
                if peer.name in node.rejoin.to_ask() and not peer.silent and peer.down_until <= self.instant:
                    yield partial(node.ask, peer, self.instant)

    def hear(self, node: Node) -> None:
        if node.hear(self.instant):
            self.seen["rejoined"] += 1
            self.may_fail += 1

    def fall_silent(self, node: Node) -> None:
        """Crash for ever: half of the clients learn of it, the others only hear nothing any more."""
        node.silent = True
        for wire in node.wires.values():
            if wire.open and self.chance.random() < 0.5:
                self.disconnect(wire)
