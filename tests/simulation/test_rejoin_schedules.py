"""Hand-made schedules of real tables and acquisitions around a node that forgets its leases."""

from __future__ import annotations

from collections import deque
from itertools import count

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Action, Phase, Request, Send
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.renewals import period
from lockmanager.wire import TOKEN_LENGTH, Answer, Mode, Space, Token
from lockmanager_node.books import adoption
from lockmanager_node.recovery import SILENCE, Rejoin, Report
from lockmanager_node.table import Outbox, Table
from lockmanager_node.table import Request as Asked

WALL = 1_700_000_000 * MICROSECONDS
NODES = ("node1", "node2", "node3")
STEP = microseconds(0.05)
_tokens = count(1)


class Client:
    """An acquisition, and its renewals as `Engine` schedules them."""

    def __init__(self, acquisition: Acquisition) -> None:
        self.acquisition = acquisition
        self.renew_at = 0


class Scene:
    """Three nodes and a few clients on one clock; a way that is cut is a session that is down."""

    def __init__(self) -> None:
        self.now = 1_000 * MICROSECONDS
        self.began = self.now
        self.tables = {node: Table(number) for number, node in enumerate(NODES, 1)}
        self.rejoins: dict[str, Rejoin] = {}
        self.clients: dict[str, Client] = {}
        self.cuts: set[tuple[str, str]] = set()
        self._up: deque[tuple[str, str, Asked]] = deque()
        self._down: deque[tuple[str, str, Answer]] = deque()
        self._held_back: dict[str, deque[tuple[str, str, Answer]]] = {}

    # Clients

    def acquire(self, who: str, *, ticket: int, ttl: float) -> None:
        request = Request(
            space=Space.QUORUM,
            name="orders/42",
            mode=Mode.EXCLUSIVE,
            ttl=microseconds(ttl),
            ticket=WALL + ticket,
            label=who,
            nodes=NODES,
            wait=True,
            deadline=None,
        )
        links = {node: (Link.DOWN if (who, node) in self.cuts else Link.LIVE, "") for node in NODES}
        client = self.clients[who] = Client(Acquisition(request, links, self.now))
        self._start(client)

    def _start(self, client: Client) -> None:
        client.renew_at = self.now + period(client.acquisition.ttl)
        token = Token(f"{next(_tokens):0{TOKEN_LENGTH}d}")
        self._perform(client, client.acquisition.start(token, self.now))

    def renew(self, who: str, ttl: float | None = None) -> None:
        client = self.clients[who]
        self._perform(client, client.acquisition.tick(self.now))
        if client.acquisition.phase in (Phase.WAITING, Phase.HELD):
            self._perform(client, client.acquisition.renew(None if ttl is None else microseconds(ttl)))
        client.renew_at = self.now + period(client.acquisition.ttl)

    def valid(self, who: str) -> bool:
        acquisition = self.clients[who].acquisition
        return acquisition.phase is Phase.HELD and self.now < acquisition.validity

    def holders(self) -> list[str]:
        return [who for who in self.clients if self.valid(who)]

    def _perform(self, client: Client, actions: list[Action]) -> None:
        who, held = client.acquisition.request.label, client.acquisition.phase is Phase.HELD
        for action in actions:
            if isinstance(action, Send) and (who, action.node) not in self.cuts:
                self._up.append((who, action.node, action.message))
        if any(type(action).__name__ == "Held" for action in actions) and held:
            client.renew_at = self.now + period(client.acquisition.ttl)
        self._settle()
        if client.acquisition.wants_start():
            self._start(client)

    def _settle(self) -> None:
        """Carry every message to its end; one at a time, in order."""
        while self._up or self._down:
            if self._up:
                who, node, message = self._up.popleft()
                self._post(node, self.tables[node].handle(who, message, self.now, WALL + self.now))
            else:
                self._arrive(*self._down.popleft())

    def _arrive(self, who: str, node: str, answer: Answer) -> None:
        if node in self._held_back:
            self._held_back[node].append((who, node, answer))
        else:
            self._deliver(who, node, answer)

    def _deliver(self, who: str, node: str, answer: Answer) -> None:
        client = self.clients[who]
        self._perform(client, client.acquisition.on_answer(node, self.now, answer, self.now))

    def _post(self, node: str, outbox: Outbox) -> None:
        self._down += [(who, node, answer) for who, answer in outbox if who and (who, node) not in self.cuts]

    # Ways

    def cut(self, who: str, *nodes: str) -> None:
        for node in nodes:
            self.cuts.add((who, node))
            self._post(node, self.tables[node].end_session(who, self.now))
            self._link(who, node, Link.DOWN)

    def mend(self, who: str, *nodes: str) -> None:
        for node in nodes:
            self.cuts.discard((who, node))
            self._link(who, node, Link.LIVE)

    def _link(self, who: str, node: str, link: Link) -> None:
        if who in self.clients:
            client = self.clients[who]
            self._perform(client, client.acquisition.on_link(node, link, "", self.now))

    # Nodes

    def lose_disk(self, node: str) -> None:
        """Die, and be back at once with nothing; every session that is not cut comes back too."""
        sessions = [who for who in self.clients if (who, node) not in self.cuts]
        for who in sessions:
            self.cut(who, node)
        table = self.tables[node] = Table(100 + NODES.index(node))
        table.silent = True
        peers = [peer for peer in NODES if peer != node]
        self.rejoins[node] = Rejoin(peers, 2, self.now)
        for who in sessions:
            self.mend(who, node)

    def ask(self, node: str, *peers: str) -> None:
        """Let the node that rejoins read these peers now, and serve if that is enough."""
        rejoin = self.rejoins[node]
        for peer in peers:
            table = self.tables[peer]
            self._post(peer, table.expire(self.now))
            since, fence = rejoin.known_upto(peer), table.largest_fence
            leases = [adoption(lease) for lease in table.leases_after(since)]
            report = Report(peer, 1, "", table.silent, False, fence, leases, table.last_number)
            rejoin.on_report(report, self.now, self.now, since=since)
        verdict = rejoin.verdict(self.now, WALL + self.now)
        if verdict is not None:
            self._post(node, self.tables[node].serve(verdict.adoptions, verdict.fence_floor, self.now))
        self._settle()

    def hold_back(self, node: str) -> None:
        """Let the node's answers wait, as for a slow disk."""
        self._held_back[node] = deque()

    def let_one_go(self, node: str) -> None:
        self._deliver(*self._held_back[node].popleft())

    def let_go(self, node: str) -> None:
        self._down += self._held_back.pop(node)
        self._settle()

    # Time

    def wait(self, seconds: float) -> None:
        until = self.now + microseconds(seconds)
        while self.now < until:
            self.now = min(until, self.now + STEP)
            for node, table in self.tables.items():
                self._post(node, table.expire(self.now))
            self._settle()
            for who, client in self.clients.items():
                self._perform(client, client.acquisition.tick(self.now))
                if self.now >= client.renew_at:
                    self.renew(who)
            assert len(self.holders()) <= 1, f"two holders at second {(self.now - self.began) / MICROSECONDS:.1f}"

    def wait_until(self, second: float) -> None:
        self.wait((self.began + microseconds(second) - self.now) / MICROSECONDS)


def test_the_scene_itself_hands_a_lock_on() -> None:
    scene = Scene()
    scene.acquire("ann", ticket=1, ttl=60)
    assert scene.holders() == ["ann"]
    scene.acquire("bob", ticket=2, ttl=60)
    scene.cut("ann", *NODES)
    scene.wait(70)
    assert scene.holders() == ["bob"]


def test_an_old_report_of_one_peer_does_not_hide_a_lease_that_moved_to_it_from_another() -> None:
    """Reports taken at different times: ann leaves node2 after node3 told, and fills node3 before node2 tells."""
    scene = Scene()
    scene.cuts = {("ann", "node3"), ("bob", "node3")}
    scene.acquire("ann", ticket=1, ttl=60)  # held on node1 and node2
    assert scene.holders() == ["ann"]
    scene.acquire("bob", ticket=2, ttl=10)
    scene.wait_until(10)
    scene.cut("ann", "node2")
    scene.wait_until(20.5)  # only node1 confirms the renewal: it holds until 79
    scene.cut("ann", "node1")
    scene.lose_disk("node1")
    scene.wait(SILENCE / MICROSECONDS)  # until 50.5
    scene.ask("node1", "node3")  # node2 does not answer node1 for a while
    scene.wait_until(53)
    scene.mend("ann", "node3")  # ann fills node3
    assert scene.holders() == ["ann"]
    scene.wait_until(61)  # node2 has expired ann's lease
    scene.ask("node1", "node2")
    scene.wait_until(75)
    for _ in range(2):
        scene.ask("node1", "node2", "node3")
        scene.wait(0.1)
    assert not scene.tables["node1"].silent, "it must serve once all peers can be read"


def test_a_longer_ttl_of_long_ago_is_not_trusted_because_of_a_shorter_one_of_late() -> None:
    """node1 alone confirmed an hour, forgot it, adopted ten seconds, and confirms ten seconds ever since."""
    scene = Scene()
    scene.cuts = {("bob", "node2")}
    scene.acquire("ann", ticket=1, ttl=10)
    assert scene.holders() == ["ann"]
    scene.acquire("bob", ticket=2, ttl=10)
    scene.cut("ann", "node2", "node3")
    scene.renew("ann", 3_600)  # node1 alone hears it
    scene.wait(1)
    scene.renew("ann", 10)  # the holder thinks better of it
    scene.mend("ann", "node2", "node3")
    scene.wait(5)
    scene.lose_disk("node1")
    scene.wait(SILENCE / MICROSECONDS)
    scene.ask("node1", "node2", "node3")
    scene.wait(60)
    assert scene.holders() == ["ann"]
    scene.cut("ann", "node1", "node3")
    scene.renew("ann", 3_600)  # node2 alone hears it
    scene.wait(30)


def test_a_ttl_is_trusted_anew_after_a_shorter_one() -> None:
    """All nodes knew of a long ttl once, and none does any more; one that confirms it again may forget it again."""
    scene = Scene()
    scene.cuts = {("bob", "node2")}
    scene.acquire("ann", ticket=1, ttl=100)
    scene.acquire("bob", ticket=2, ttl=10)
    scene.renew("ann", 10)
    for node in NODES:  # one after the other expires the long lease and is filled with the short ttl
        scene.cut("ann", node)
        scene.cut("bob", node)
        scene.wait(105)
        scene.mend("ann", node)
        scene.mend("bob", *({node} - {"node2"}))  # that way stays cut
    assert scene.holders() == ["ann"]
    assert all(
        adoption(lease).ttl == 10 * MICROSECONDS for one in scene.tables.values() for lease in one.leases_after(0)
    )
    scene.cut("ann", "node2", "node3")
    scene.renew("ann", 100)  # node1 alone hears it
    scene.wait(1)
    scene.renew("ann", 10)
    scene.mend("ann", "node2", "node3")
    scene.lose_disk("node1")
    scene.wait(SILENCE / MICROSECONDS)
    scene.cut("ann", "node1")
    scene.ask("node1", "node2", "node3")
    scene.cut("ann", "node3")
    scene.renew("ann", 100)  # node2 alone hears it
    scene.wait(60)


def test_a_longer_ttl_that_one_node_was_late_to_confirm_does_not_lose_the_lease() -> None:
    """Both nodes are in reach and confirmed the new ttl 20 s before the old one ends; nobody asks the first again."""
    scene = Scene()
    scene.cuts = {("ann", "node3")}
    scene.acquire("ann", ticket=1, ttl=60)
    scene.cut("ann", "node2")
    scene.renew("ann", 3_600)
    scene.wait(35)
    scene.mend("ann", "node2")
    scene.wait(60)
    assert scene.holders() == ["ann"]


def test_a_holder_that_stands_in_line_behind_its_own_adopted_lease_does_not_lose_it() -> None:
    """node1 forgot while node2 was slow to confirm the full ttl: ann asked node1 again, and became the holder after."""
    scene = Scene()
    scene.cuts = {("ann", "node3")}
    scene.hold_back("node2")  # its commits are slow: it answers when `let_go` says so
    scene.acquire("ann", ticket=200, ttl=3_600)
    scene.let_one_go("node2")  # granted; the renewal to an hour is on its way, and node1 confirms it
    scene.lose_disk("node1")
    scene.let_go("node2")
    assert scene.holders() == ["ann"]
    scene.acquire("bob", ticket=100, ttl=10)  # came first by its ticket: it waits at node1 and node2, node3 grants
    scene.wait(SILENCE / MICROSECONDS)
    scene.ask("node1", "node2", "node3")
    assert scene.holders() == ["ann"]
