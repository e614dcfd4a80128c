"""What must hold of those who hold, wait and let go, looked at after each turn of a client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lockmanager.actions import Phase
from lockmanager.ballot import Link, Said
from lockmanager.run import Run
from lockmanager.wire import GrantId, Mode, Space, Yield, decode_up
from tests.simulation.clockwork import NEVER
from tests.simulation.findings import Findings

if TYPE_CHECKING:
    from tests.simulation.client import SimClient
    from tests.simulation.node import SimNode
    from tests.simulation.node_rules import NodeRules

OVERTAKINGS_LIMIT = 3
"""How often one request that stands in line may be overtaken while nodes and sessions fail around it."""

_LOOKS_PER_BOUND = 4
_STANDS = (Said.QUEUED, Said.GRANTED)
_RELIED = (Phase.HELD, Phase.LOST)


@dataclass(slots=True, eq=False)
class Followed:
    """One acquisition as it was seen last; instants are of the true time."""

    client: SimClient
    run: Run
    began: int
    phase: Phase = Phase.APART
    token: str = ""
    stands_since: int = NEVER
    held_at: int = NEVER
    overtaken: int = 0
    told_lost: bool = False
    held_with: set[tuple[str, GrantId]] = field(default_factory=set)

    def __str__(self) -> str:
        acquisition = self.run.acquisition
        request = acquisition.request
        return (
            f"{self.client.name} ({request.mode.name.lower()} {request.name!r}, ticket {request.ticket}, "
            f"fence {acquisition.fence}, {acquisition.phase.name}, since {self.began})"
        )

    def relied_on(self) -> bool:
        """Whether its holder may act on it now, by its own clock."""
        acquisition = self.run.acquisition
        return acquisition.phase in _RELIED and acquisition.validity > self.client.clock.now()


@dataclass(slots=True)
class _Name:
    """What is known of one lock."""

    followed: dict[Run, Followed] = field(default_factory=dict)
    fences: dict[Mode, int] = field(default_factory=lambda: dict.fromkeys(Mode, 0))
    outlaw_until: int = 0


class Holders:
    """Follows every acquisition of every client."""

    def __init__(
        self,
        findings: Findings,
        rules: NodeRules,
        nodes: dict[str, SimNode],
        now: Callable[[], int],
        *,
        trusted: bool,
        faultless: bool,
        is_healthy: Callable[[Followed], bool],
    ) -> None:
        self._findings, self._rules, self._nodes, self._now = findings, rules, nodes, now
        self._trusted, self._faultless, self._is_healthy = trusted, faultless, is_healthy
        self._names: defaultdict[str, _Name] = defaultdict(_Name)
        self._yielded: set[tuple[str, GrantId]] = set()
        self._looks = 0
        self._names_followed = False

    def outlaw(self, name: str, until: int) -> None:
        """Let exclusion of a lock be broken for a while: an operator said so, by force."""
        self._names[name].outlaw_until = max(self._names[name].outlaw_until, until)

    def sends(self, client: SimClient, node: str, data: bytes) -> None:
        """Note what was yielded: never what somebody holds with."""
        for message in decode_up(data).messages:
            if isinstance(message, Yield):
                self._yielded.add((node, message.grant_id))
                self._look_at_yield(client, node, message)

    def _look_at_yield(self, client: SimClient, node: str, message: Yield) -> None:
        for one in self.followed():
            if one.client is client and one.token == message.token and one.phase is Phase.HELD:
                held = (node, message.grant_id) in one.held_with
                self._findings.check("no yield while held", not held, one, "yields its grant at", node)
        self._findings.looked("no yield while held")

    def dies(self, client: SimClient) -> None:
        """Follow nothing of a client that died."""
        for name in self._names.values():
            for run in [run for run, one in name.followed.items() if one.client is client]:
                del name.followed[run]

    def followed(self) -> Iterator[Followed]:
        """Give everything that is followed."""
        for name in self._names.values():
            yield from name.followed.values()

    # A turn of a client

    def turned(self, client: SimClient) -> None:
        """Look at everything the client's acquisitions did in this turn."""
        engine = client.engine
        if engine is None or not (engine._alive or self._names_followed):
            return
        self._looks += 1
        for run in list(engine._alive):
            acquisition = run.acquisition
            if acquisition.request.space is not Space.QUORUM:
                continue
            name = self._names[acquisition.request.name]
            one = name.followed.get(run)
            if one is None:
                one = name.followed[run] = Followed(client, run, self._now())
            self._look_at(one, name)
        self._drop_what_is_over()

    def _drop_what_is_over(self) -> None:
        self._names_followed = False
        for name in self._names.values():
            followed = name.followed
            if not followed:
                continue
            for run in [run for run in followed if run.acquisition.phase is Phase.OVER]:
                del followed[run]
            if followed:
                self._names_followed = True

    def _look_at(self, one: Followed, name: _Name) -> None:
        acquisition = one.run.acquisition
        phase = acquisition.phase
        if acquisition.token != one.token:
            one.token, one.stands_since = acquisition.token, NEVER
        if phase is Phase.WAITING:
            self._note_standing(one)
        if phase is not one.phase:
            one.phase = phase
            if phase is Phase.HELD:
                one.held_at = self._now()
                self._look_at_new_holder(one, name)
        if one.run.is_lost and not one.told_lost:
            one.told_lost = True
            if name.outlaw_until <= self._now():
                self._look_at_loss(one)
        if phase is Phase.HELD or phase is Phase.WAITING:
            self._look_at_company(one, name)
            if self._looks % _LOOKS_PER_BOUND == 0:
                self._look_at_bounds(one, name)

    def _note_standing(self, one: Followed) -> None:
        ballot = one.run.acquisition.ballot
        stands = sum(vote.said in _STANDS and vote.link is Link.LIVE for vote in ballot.votes)
        if stands < ballot.majority:
            one.stands_since = NEVER
        elif one.stands_since == NEVER:
            one.stands_since = self._now()

    def _stands_now(self, one: Followed) -> bool:
        """Whether a majority of the nodes know it: one whose sessions are gone stands in no line."""
        acquisition = one.run.acquisition
        nodes = [self._nodes[vote.node] for vote in acquisition.ballot.votes]
        known = sum(node.up and node.table.key_of(acquisition.token) is not None for node in nodes)
        return known >= acquisition.ballot.majority

    # Holding

    def _look_at_company(self, one: Followed, name: _Name) -> None:
        if one.phase is not Phase.HELD or not self._trusted or name.outlaw_until > self._now():
            return
        exclusive = one.run.acquisition.request.mode is Mode.EXCLUSIVE
        self._findings.looked("exclusion", len(name.followed) - 1)
        for other in name.followed.values():
            if other is one or other.held_at == NEVER or not other.relied_on() or not one.relied_on():
                continue
            both_read = not exclusive and other.run.acquisition.request.mode is Mode.SHARED
            self._findings.check("exclusion", both_read, one, "and", other, "at once")

    def _look_at_new_holder(self, one: Followed, name: _Name) -> None:
        acquisition = one.run.acquisition
        mode, fence = acquisition.request.mode, acquisition.fence
        self._findings.seen["grants"] += 1
        self._look_at_grants(one)
        if name.outlaw_until <= self._now():
            self._look_at_turn(one, name)
            below = max(name.fences.values()) if mode is Mode.EXCLUSIVE else name.fences[Mode.EXCLUSIVE]
            if self._trusted:
                self._findings.check("fence rises", fence > below, one, "comes after", below)
        name.fences[mode] = max(name.fences[mode], fence)

    def _look_at_grants(self, one: Followed) -> None:
        """Every grant it counts was given to this very attempt, and not given back."""
        acquisition = one.run.acquisition
        counted = 0
        for vote in acquisition.ballot.votes:
            if vote.grant is None:
                continue
            grant_id = vote.grant.grant_id
            owner = self._rules.of(vote.node).granted.get(grant_id)
            mine = owner == acquisition.token and (vote.node, grant_id) not in self._yielded
            self._findings.check("no late message", mine, one, "counts a grant that is not its own")
            counted += 1
            one.held_with.add((vote.node, grant_id))
        enough = counted >= len(acquisition.request.nodes) // 2 + 1
        self._findings.check("no late message", enough, one, "holds with", counted, "grants")

    def _look_at_turn(self, one: Followed, name: _Name) -> None:
        """Nobody who stood in line on a majority before this one asked, with a smaller ticket, is still waiting."""
        request = one.run.acquisition.request
        for other in name.followed.values():
            if other is one or other.phase is not Phase.WAITING or other.stands_since >= one.began:
                continue
            self._findings.looked("first in first out" if self._faultless else "overtakings bounded")
            theirs = other.run.acquisition.request
            if theirs.ticket > request.ticket or (theirs.mode is request.mode is Mode.SHARED):
                continue
            if not self._stands_now(other):
                continue
            other.overtaken += 1
            self._findings.seen["overtakings"] += 1
            words = (one, "overtakes", other)
            if self._faultless:
                self._findings.break_("first in first out", *words)
            if other.overtaken > OVERTAKINGS_LIMIT:
                self._findings.break_("overtakings bounded", *words)

    def _look_at_loss(self, one: Followed) -> None:
        if one.run.acquisition.ballot.count(Said.REVOKED) or one.run.end_reason == "the coordinator was closed":
            return
        self._findings.seen["losses"] += 1
        self._findings.check("no false loss", not self._is_healthy(one), one, "is lost:", one.run.end_reason)

    def _look_at_bounds(self, one: Followed, name: _Name) -> None:
        """What a coordinator may rely on, the node keeps for at least as long."""
        if not self._trusted or name.outlaw_until > self._now():
            return
        clock = one.client.clock
        here = clock.now()
        for vote in one.run.acquisition.ballot.votes:
            grant = vote.grant
            if grant is None or grant.bound is None or grant.bound <= here:
                continue
            node = self._nodes[vote.node]
            if not node.up or grant.grant_id[0] not in node.incarnations:
                continue
            lease = node.table.lease(one.run.acquisition.token)
            kept = lease is not None and node.clock.true(lease.deadline) >= clock.true(grant.bound)
            self._findings.check("relied on is kept", kept, one, "relies on", vote.node, "which knows", lease)
