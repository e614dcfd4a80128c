"""Schedules around a lost disk that the model of the rejoin found, played with the real rules: one valid holder each.

Three nodes n, p and q decide about one lock; n loses its disk. Messages arrive at once unless a way is cut or slow.
"""

from __future__ import annotations

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Action, Phase, Request, Send
from lockmanager.ballot import Link
from lockmanager.durations import microseconds
from lockmanager.wire import Acquire, Mode, Release, Space
from lockmanager_node.books import adoption
from lockmanager_node.limits import Limits
from lockmanager_node.recovery import Rejoin, Report
from lockmanager_node.table import Outbox, Table
from tests.support.table_cases import WALL, token_of

KEY = (Space.QUORUM, "x")
START = microseconds(1_000)
NODES = ("n", "p", "q")


class Play:
    """Tables and acquisitions; whoever is no acquisition only stands in the way."""

    def __init__(self) -> None:
        self.now = START
        self.tables = {node: Table(7) for node in NODES}
        self.cut: set[tuple[str, str]] = set()
        self.slow: dict[tuple[str, str], list[Action]] = {}
        self.acquisitions: dict[str, Acquisition] = {}

    def asks(self, who: str, *, ttl: float, ticket: int) -> None:
        request = Request(*KEY, Mode.EXCLUSIVE, microseconds(ttl), WALL + ticket, who, NODES, True, None)
        links = {node: (Link.DOWN if (who, node) in self.cut else Link.LIVE, "") for node in NODES}
        one = self.acquisitions[who] = Acquisition(request, links, self.now)
        self.act(who, one.start(token_of(who), self.now))

    def stands(self, who: str, node: str, *, ttl: float = 300) -> None:
        wanted = Acquire(token_of(who), *KEY, WALL, microseconds(ttl), Mode.EXCLUSIVE, True, who)
        self.deliver(node, self.tables[node].handle(who, wanted, self.now, WALL))

    def leaves(self, who: str, node: str) -> None:
        self.deliver(node, self.tables[node].handle(who, Release(token_of(who)), self.now, WALL))

    def act(self, who: str, actions: list[Action]) -> None:
        for action in actions:
            if not isinstance(action, Send) or (who, action.node) in self.cut:
                continue
            if (who, action.node) in self.slow:
                self.slow[who, action.node].append(action)
            else:
                self.deliver(action.node, self.tables[action.node].handle(who, action.message, self.now, WALL))

    def deliver(self, node: str, outbox: Outbox) -> None:
        for who, answer in outbox:
            if who in self.acquisitions and (who, node) not in self.cut:
                self.act(who, self.acquisitions[who].on_answer(node, self.now, answer, self.now))

    def breaks(self, who: str, node: str) -> None:
        self.cut.add((who, node))
        self.act(who, self.acquisitions[who].on_link(node, Link.DOWN, "cut", self.now))
        self.deliver(node, self.tables[node].end_session(who, self.now))

    def mends(self, who: str, node: str) -> None:
        self.cut.discard((who, node))
        self.act(who, self.acquisitions[who].on_link(node, Link.LIVE, "", self.now))

    def until(self, seconds: float, *, step: float = 3.0) -> None:
        """Let time pass, with renewals by the way."""
        while self.now < START + microseconds(seconds):
            self.now = min(self.now + microseconds(step), START + microseconds(seconds))
            for node, table in self.tables.items():
                self.deliver(node, table.expire(self.now))
            for who, one in self.acquisitions.items():
                self.act(who, one.tick(self.now))
                self.act(who, one.renew())

    def loses_its_disk(self, limits: Limits) -> Rejoin:
        self.tables["n"] = Table(8, limits)
        self.tables["n"].silent = True
        return Rejoin(["p", "q"], 2, self.now)

    def reads(self, rejoin: Rejoin, peer: str) -> None:
        table, since = self.tables[peer], rejoin.known_upto(peer)
        leases = [adoption(lease) for lease in table.leases_after(since)]
        report = Report(peer, 7, "", False, False, table.largest_fence, leases, table.last_number)
        rejoin.on_report(report, self.now, self.now, since=since)

    def serves(self, rejoin: Rejoin) -> None:
        verdict = rejoin.verdict(self.now, WALL)
        assert verdict is not None
        self.deliver("n", self.tables["n"].serve(verdict.adoptions, verdict.fence_floor, self.now))

    def holders(self) -> list[str]:
        """Return who may act on the lock now."""
        everybody = self.acquisitions.items()
        return [who for who, one in everybody if one.phase is Phase.HELD and one.validity > self.now]


def test_a_grant_from_before_the_loss_is_not_revived_by_a_node_that_is_full() -> None:
    play = Play()
    for node in ("p", "q"):
        play.stands("before", node)
    play.asks("bob", ttl=10, ticket=2)
    play.breaks("bob", "n")
    play.until(11)
    play.cut.add(("ann", "q"))
    play.asks("ann", ttl=120, ticket=1)
    for node in ("p", "q"):
        play.leaves("before", node)
    assert play.holders() == ["ann"]
    play.breaks("ann", "n")
    rejoin = play.loses_its_disk(Limits(waiters=1))
    play.stands("somebody", "n")
    play.until(44)
    for peer in ("p", "q", "p", "q"):
        play.reads(rejoin, peer)
    play.serves(rejoin)
    for who in ("bob", "ann"):
        play.mends(who, "n")
        play.act(who, play.acquisitions[who].renew())
    assert play.holders() == ["ann"]


def test_a_lease_granted_briefly_from_the_line_is_not_relied_on_for_longer_than_peers_tell() -> None:
    play = Play()
    play.stands("before", "q")
    play.asks("ann", ttl=120, ticket=1)
    play.breaks("ann", "p")
    play.until(80)
    play.breaks("ann", "n")
    rejoin = play.loses_its_disk(Limits())
    play.until(109.5)
    play.slow["ann", "q"] = []
    play.leaves("before", "q")
    play.until(110.5)
    play.reads(rejoin, "q")
    late, play.slow = play.slow["ann", "q"], {}
    play.act("ann", late)
    play.until(120.5)
    for peer in ("p", "q", "p"):
        play.reads(rejoin, peer)
    play.serves(rejoin)
    play.until(151.5)
    play.cut.add(("bob", "q"))
    play.asks("bob", ttl=10, ticket=151)
    assert play.holders() == ["bob"]
