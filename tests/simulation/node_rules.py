"""What must hold at every node, looked at after each of its turns, and across its lives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lockmanager.wire import (
    Granted,
    GrantId,
    Hello,
    Mode,
    Raised,
    Release,
    Token,
    Yield,
    decode_down,
    decode_up,
    token_digest,
)
from lockmanager_node.lock import Adopted, Lease, Lock
from tests.simulation.findings import Findings

if TYPE_CHECKING:
    from tests.simulation.node import SimNode


@dataclass(slots=True)
class _Standing:
    """A lease as it was seen last; `first_deadline` is the one it was granted with."""

    lease: Lease
    first_deadline: int
    deadline: int


@dataclass(slots=True)
class Seen:
    """One node as it was when it was looked at last, and what it heard and told."""

    standing: dict[int, _Standing] = field(default_factory=dict)
    ended: set[Token] = field(default_factory=set)
    yielded: set[GrantId] = field(default_factory=set)
    spoke: set[str] = field(default_factory=set)
    forced: set[str] = field(default_factory=set)
    told: dict[GrantId, int] = field(default_factory=dict)
    granted: dict[GrantId, Token] = field(default_factory=dict)
    has_adopted: bool = False
    boot: int = 0

    def begin_turn(self) -> None:
        """Forget what may have ended a lease: the table was looked at since."""
        self.ended.clear()
        self.yielded.clear()
        self.spoke.clear()
        self.forced.clear()


class NodeRules:
    """Looks at nodes; knows what each was told and has told."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)

    def of(self, node: str) -> Seen:
        """Return what was seen of a node so far."""
        return self._seen[node]

    # What passes

    def receives(self, node: SimNode, data: bytes) -> None:
        """Note what may end a lease."""
        seen = self._seen[node.name]
        for message in decode_up(data).messages:
            if isinstance(message, Hello):
                continue
            if seen.has_adopted:
                seen.spoke.add(token_digest(message.token))
            if isinstance(message, Release):
                seen.ended.add(message.token)
            elif isinstance(message, Yield):
                seen.yielded.add(message.grant_id)

    def sends(self, node: SimNode, data: bytes) -> None:
        """Note what was told: from now on it must not be forgotten."""
        seen = self._seen[node.name]
        for answer in decode_down(data).messages:
            if isinstance(answer, Granted):
                seen.granted[answer.grant_id] = answer.token
                seen.told[answer.grant_id] = answer.fence
            elif isinstance(answer, Raised) and (lease := node.table.lease(answer.token)) is not None:
                seen.told[lease.grant_id] = max(seen.told.get(lease.grant_id, 0), answer.fence)

    # Turns

    def turned(self, node: SimNode) -> None:
        """Look at the whole table."""
        seen, now = self._seen[node.name], node.clock.now()
        before, standing = seen.standing, {}
        seen.has_adopted = False
        for lock in node.table.locks.values():
            leases = lock.all_leases
            for lease in leases:
                one = before.get(lease.number)
                if one is None:
                    one = _Standing(lease, lease.deadline, lease.deadline)
                elif one.deadline != lease.deadline:
                    longer = lease.deadline > one.deadline
                    self._findings.check("renewal never shortens", longer, node.name, "shortened", lease)
                    one.deadline = lease.deadline
                one.lease = lease
                standing[lease.number] = one
                if isinstance(lease, Adopted):
                    seen.has_adopted = True
            if len(leases) > 1:
                self._look_at_company(node, lock, leases)
            if lock.waiting:
                self._look_at_head(node, lock, leases)
        for number in before.keys() - standing.keys():
            self._look_at_end(node, seen, before[number], now)
        seen.standing = standing
        seen.begin_turn()

    def _look_at_company(self, node: SimNode, lock: Lock, leases: list[Lease]) -> None:
        known = [lease for lease in leases if not isinstance(lease, Adopted)]
        exclusive = any(lease.waiter.mode is Mode.EXCLUSIVE for lease in known)
        self._findings.check(
            "node exclusion", not exclusive or len(known) < 2, node.name, "granted", lock.key, "to several:", known
        )

    def _look_at_head(self, node: SimNode, lock: Lock, leases: list[Lease]) -> None:
        """Whoever stands first and could be granted was granted in the same step."""
        if node.table.silent:
            return
        head = next(iter(lock.line))
        shared = [lease.waiter.mode is Mode.SHARED for lease in leases]
        free = not leases or (head.mode is Mode.SHARED and all(shared))
        self._findings.check("no lost wake-up", not free, node.name, "lets", head, "wait for nobody")

    def _look_at_end(self, node: SimNode, seen: Seen, before: _Standing, now: int) -> None:
        allowed = before.deadline <= now or self._was_ended(node, seen, before.lease)
        self._findings.check("node rule", allowed, node.name, "ended", before.lease, "for no reason")

    @staticmethod
    def _was_ended(node: SimNode, seen: Seen, lease: Lease) -> bool:
        if lease.waiter.key[1] in seen.forced:
            return True
        if isinstance(lease, Adopted):  # released, claimed by its owner, or by one who stood in line behind it
            lock = node.table.locks.get(lease.waiter.key)
            owned = [] if lock is None else [token_digest(token) for token in lock.leases]
            return lease.digest in seen.spoke or lease.digest in owned
        return lease.waiter.token in seen.ended or lease.grant_id in seen.yielded

    # Lives

    def starts(self, node: SimNode) -> None:
        """What was told is still known after a restart, unless everything was lost."""
        seen = self._seen[node.name]
        before, seen.standing = seen.standing, {}
        same_boot, seen.boot = seen.boot == node.boots, node.boots
        seen.begin_turn()
        if len(node.incarnations) == 1:  # this one: no earlier life is remembered
            seen.told.clear()
            return
        for one in before.values():
            fence = seen.told.get(one.lease.grant_id)
            if fence is not None and not isinstance(one.lease, Adopted):
                self._look_at_kept(node, one, fence, same_boot=same_boot)

    def _look_at_kept(self, node: SimNode, before: _Standing, fence: int, *, same_boot: bool) -> None:
        if same_boot and before.first_deadline <= node.clock.now():
            return  # what extended it may not have been told
        lease = node.table.lease(before.lease.waiter.token)
        kept = lease is not None and lease.fence >= fence
        self._findings.check(
            "acknowledged is kept", kept, node.name, "told of", before.lease, "with fence", fence, "and knows", lease
        )
