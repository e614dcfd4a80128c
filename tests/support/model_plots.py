"""Model runs with a plot: the few events that must come together before a rule of rejoin matters, at random instants.

One client holds on a bare majority, with a long ttl as a rule, and is cut off from the node that loses its disk; the
others ask for the lock meanwhile. What happens in between is left to the scheduler, as in every model run.
"""

from __future__ import annotations

from collections.abc import Callable

from lockmanager.actions import Phase
from lockmanager.wire import Mode
from tests.support.model_nodes import Node
from tests.support.model_parts import TTL, Client, Plan
from tests.support.model_run import LONGEST, World

FOR_EVER = 1 << 60
CONNECTED = 8_000
"""By then every session is open; a way that is cut later keeps its session, and its messages wait."""
BEGIN = 10_000


class PlottedWorld(World):
    """A world without random troubles, in which what is planned happens at its instants."""

    def __init__(self, seed: int, *, nodes: int = 3, clients: int = 3) -> None:
        super().__init__(seed, nodes=nodes, clients=clients, shared=0.0)
        self.troubles = 0
        hero, *others = self.clients
        hero.plans = [Plan(Mode.EXCLUSIVE, True, self._long_or_short(), 12 * TTL, None)]
        for other in others:
            other.plans = [Plan(Mode.EXCLUSIVE, True, self._long_or_short(), TTL // 10, None) for _ in range(2)]
            other.next_round_at = BEGIN + self.chance.randrange(4 * TTL)
        hero.next_round_at = BEGIN
        self._when_lifting: Callable[[], None] | None = None
        self.promised = len(hero.plans) + sum(len(other.plans) for other in others)
        chance = self.chance
        (self._plot_of_a_holder if chance.random() < 0.5 else self._plot_of_a_grant_under_way)(hero)
        self.script.append((9 * TTL, self._mend))
        self.script.sort(key=lambda planned: planned[0])

    def step(self) -> bool:
        """As in every world; one who is about to lift the grants of a majority may be interrupted right then."""
        acquisition = self.clients[0].acquisition
        if self._when_lifting is not None and acquisition is not None and acquisition.phase is Phase.WAITING:
            granted = sum(vote.grant is not None for vote in acquisition.ballot)
            if granted >= acquisition.ballot.majority:
                self._when_lifting()
                self._when_lifting = None
        return super().step()

    def _long_or_short(self) -> int:
        return LONGEST if self.chance.random() < 0.7 else TTL

    def _plot_of_a_holder(self, hero: Client) -> None:
        """Hold on a bare majority, of which one node forgets it, and later perhaps the other."""
        chance = self.chance
        first, second, *rest = chance.sample(self.nodes, len(self.nodes))
        self.script.append((CONNECTED, lambda: self._cut(hero, *rest[: (len(self.nodes) - 1) // 2])))
        loses_at = BEGIN + chance.randrange(5_000, 2 * TTL)
        self.script.append((loses_at, lambda: self._lose(first)))
        if chance.random() < 0.7:
            self.script.append((loses_at, lambda: self._cut(hero, first)))
        if chance.random() < 0.5:
            self.script.append((loses_at + chance.randrange(2 * TTL), lambda: self._cut(hero, second)))
        if chance.random() < 0.5:
            self.script.append((loses_at + chance.randrange(TTL, 3 * TTL), lambda: self._lose(second)))

    def _plot_of_a_grant_under_way(self, hero: Client) -> None:
        """Be granted by a node that forgets it, and come to a majority with that grant later, or not at all."""
        chance = self.chance
        first, second, *rest = chance.sample(self.nodes, len(self.nodes))
        loses_at = BEGIN + chance.randrange(5_000, TTL)
        arrives_at = loses_at + chance.randrange(2 * TTL)
        self.script.append((CONNECTED, lambda: self._cut(hero, second, until=arrives_at)))
        for other in self.clients[1:]:
            other.plans[-1].hold = TTL
            other.next_round_at = chance.choice([arrives_at + chance.randint(-3_000, 3_000), 3 * TTL])
        hero.plans[0].ttl = chance.choice([TTL, LONGEST])
        if chance.random() < 0.5:
            self.script.append((CONNECTED, lambda: self._cut(hero, *rest)))
        else:
            self._when_lifting = lambda: self._cut(hero, *rest)
        self.script.append((loses_at, lambda: self._lose(first)))
        self.script.append((loses_at + chance.choice([0, chance.randrange(2 * TTL)]), lambda: self._cut(hero, first)))

    def _cut(self, client: Client, *nodes: Node, until: int = FOR_EVER) -> None:
        for node in nodes:
            client.wires[node.name].stalled_until = until

    def _mend(self) -> None:
        for wire in self.wires:
            wire.stalled_until = 0

    def _lose(self, node: Node) -> None:
        if self.may_fail and node in self.serving():
            self.may_fail -= 1
            self.lose_disk(node)
