"""The nodes of a model run: real tables, what their journals keep, and how they die and come back.

A crash keeps what had to be synced before any answer that left, and of the rest a part that chance chooses. A node
whose disk is lost comes back empty and rejoins by the real rules. Nothing here chooses what happens next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

from lockmanager.wire import Answer, Hello
from lockmanager_node.books import adoption
from lockmanager_node.records import Kept, Record
from lockmanager_node.recovery import Rejoin, Report
from lockmanager_node.sessions import GIVING
from lockmanager_node.table import Outbox, Table
from tests.support.model_parts import TTL, WALL, Wire


@dataclass(slots=True)
class Timepiece:
    """A clock of one machine: its own beginning, and a rate off by up to 4 in 1,000."""

    beginning: int
    per_million: int

    def at(self, instant: int) -> int:
        return self.beginning + instant + instant * self.per_million // 1_000_000

    def boot(self, instant: int) -> None:
        """Begin anew, as after a reboot."""
        self.beginning -= self.at(instant)


@dataclass(slots=True)
class Decided:
    """An answer on its way out: the echo of its decision, and how much of the journal it rests on."""

    echo: int
    answer: Answer | None
    written: int


class Node:
    """A lock table that answers whoever asks, with a journal that remembers as much as it must."""

    def __init__(self, name: str, clock: Timepiece, number: int) -> None:
        self.name, self.clock, self.number = name, clock, number
        self.lives = 0
        self.table = self._new_table()
        self.wires: dict[str, Wire] = {}
        self.silent = False
        self.down_until = 0
        self.syncs_until = 0
        self.rejoin: Rejoin | None = None
        self.told: deque[tuple[Report, int, int]] = deque()
        self._log: list[tuple[dict[int, Record | None], int]] = []
        self._synced = 0

    def _new_table(self) -> Table:
        self.lives += 1
        return Table(1_000 * self.lives + self.number, journaled=True)

    def receive(self, wire: Wire, instant: int) -> None:
        wire.newest_sent, messages = wire.up.popleft()
        for message in messages:
            assert not isinstance(message, Hello)
            self.tell(self.table.handle(wire.client.name, message, self.clock.at(instant), WALL + instant))
        wire.decided.append(Decided(wire.newest_sent, None, 0))

    def tell(self, outbox: Outbox) -> None:
        """Write what changed, and queue the answers with the echo of this very decision."""
        changes = self.table.take_changes()
        self._log.append((dict(changes.records), changes.fence_floor))
        for owner, answer in outbox:
            wire = self.wires.get(owner)
            if wire is not None and wire.known_to_node:
                wire.decided.append(Decided(wire.newest_sent, answer, len(self._log)))

    def send(self, wire: Wire) -> None:
        """Let the oldest answer leave: what it gives is synced."""
        decided = wire.decided.popleft()
        if isinstance(decided.answer, GIVING):
            self._synced = max(self._synced, decided.written)
        wire.down.append((decided.echo, self.table.largest_ticket, decided.answer))

    def expire(self, instant: int) -> None:
        self.tell(self.table.expire(self.clock.at(instant)))

    def end_session(self, wire: Wire, instant: int) -> None:
        wire.known_to_node = False
        self.tell(self.table.end_session(wire.client.name, self.clock.at(instant)))

    def is_due(self, instant: int) -> bool:
        deadline = self.table.next_deadline()
        return deadline is not None and deadline <= self.clock.at(instant) and self.table.lease_count > 0

    # Death and return

    def crash(self, instant: int, chance: Random) -> None:
        """Die and come back with the journal, now and then after a reboot of the machine."""
        kept = self._kept(chance.randint(self._synced, len(self._log)))
        same_boot = chance.random() < 0.5
        if not same_boot:
            self.clock.boot(instant)
        self.table = self._new_table()
        self.table.restore(kept, self.clock.at(instant), same_boot=same_boot)
        self._log = [(dict(kept.records), kept.fence_floor)]
        self.tell([])
        self._synced = len(self._log)  # the id of the new boot is written after the deadlines of the new boot

    def _kept(self, written: int) -> Kept:
        records: dict[int, Record | None] = {}
        fence_floor = 0
        for batch, floor in self._log[:written]:
            records |= batch
            fence_floor = max(fence_floor, floor)
        return Kept([(number, record) for number, record in records.items() if record is not None], fence_floor)

    def lose_disk(self, peers: list[Node], needed: int, instant: int) -> None:
        """Die and come back with nothing."""
        self.table = self._new_table()
        self.table.silent = True
        self._log, self._synced = [], 0
        self.told.clear()
        self.rejoin = Rejoin([peer.name for peer in peers], needed, self.clock.at(instant), TTL)

    def ask(self, peer: Node, instant: int) -> None:
        """Let a peer tell what it holds; the answer may take its time."""
        asked_at = self.clock.at(instant)
        peer.expire(instant)
        assert self.rejoin is not None
        since = self.rejoin.known_upto(peer.name)
        self.told.append((peer.report(since), asked_at, since))

    def report(self, since: int) -> Report:
        leases = [adoption(lease) for lease in self.table.leases_after(since)]
        recovering, table = self.rejoin is not None, self.table
        return Report(self.name, self.lives, "", recovering, False, table.largest_fence, leases, table.last_number)

    def hear(self, instant: int) -> bool:
        """Take the oldest report, and serve if that is enough; says whether it serves."""
        assert self.rejoin is not None
        report, asked_at, since = self.told.popleft()
        self.rejoin.on_report(report, asked_at, self.clock.at(instant), since=since)
        verdict = self.rejoin.verdict(self.clock.at(instant), WALL + instant)
        if verdict is None:
            return False
        self.rejoin = None
        self.told.clear()
        self.tell(self.table.serve(verdict.adoptions, verdict.fence_floor, self.clock.at(instant)))
        self._synced = len(self._log)  # that it served is written after what it adopted, or it would begin anew
        return True
