"""When a node that may have forgotten grants may grant again. Pure; `now` is an argument.

A node without a journal to go by asks its peers first. Where every one of them has never granted anything and has
never met an earlier incarnation of this node, the cluster is new and the node serves at once. Otherwise grants of
its earlier life may still be under way to a majority: it stays silent for as long as such a grant can last, then reads
what is held from so many peers that no majority with its earlier self in it goes unseen, and adopts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from lockmanager.durations import MICROSECONDS, seconds
from lockmanager.topology import Cluster
from lockmanager.wire import State

from .limits import LONGEST_TTL, Limits, check_fence
from .records import Adoption

SILENCE: Final = 30 * MICROSECONDS
"""The longest a grant may exist before it stands on a majority, in microseconds: coordinators first ask for that."""

_READ_ANEW: Final = 10
"""Silences after which a peer's leases are read from the first on again: those that ended since are let go of."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` and the welcome of a session say; `remaining` is for how much longer at least, in microseconds."""

    state: State
    reason: str = ""
    remaining: int = 0


SERVING: Final = Readiness(State.SERVING)


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one life of a node tells another node that rejoins.

    `never`: it has never granted anything, nor answered an earlier incarnation of the one who asks. `fence` is its
    largest. Leases are numbered in the order of their grants, within one incarnation: after this page every lease up
    to number `upto` is told; `after` asks for the next page, None on the last.
    """

    node: str
    incarnation: int
    fingerprint: str
    recovering: bool
    never: bool
    fence: int
    leases: list[Adoption]
    upto: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The silence may end: adopt these leases, and let fences exceed the floor."""

    adoptions: list[Adoption]
    fence_floor: int
    new_cluster: bool


class Past:
    """Which incarnation of each peer asked this node first: the one that has no past here."""

    def __init__(self, first: dict[str, int] | None = None) -> None:
        self._first = dict(first or {})

    def is_unknown(self, node: str) -> bool:
        """Whether no incarnation of this node has asked so far."""
        return node not in self._first

    def note(self, node: str, incarnation: int) -> None:
        """Remember the first incarnation that asked."""
        self._first.setdefault(node, incarnation)

    def knows_earlier(self, node: str, incarnation: int) -> bool:
        """Say whether an earlier incarnation of this node was answered."""
        return self._first.get(node, incarnation) != incarnation


@dataclass(slots=True)
class _Reading:
    """What one life of a peer has told so far: every lease up to a number, read by several questions."""

    incarnation: int
    began: int
    upto: int = 0
    fence: int = 0
    leases: list[Adoption] = field(default_factory=list)


@dataclass(slots=True)
class _Peer:
    """What is known of one peer. `first_at`: when it was read for the first time of the two."""

    never: bool = False
    recovering: bool = False
    has_asked: bool = False
    said: str = "not asked yet"
    reading: _Reading | None = None
    first_at: int | None = None
    read_twice: bool = False

    def forget(self) -> None:
        """Read it anew."""
        self.reading = self.first_at = None
        self.read_twice = False


def implausible(report: Report, limits: Limits, wall: int) -> str | None:
    """Say why a report cannot be true, None if it can: what a peer tells becomes this node's own.

    A ttl is at most what any cluster may allow: this one may have allowed more before than it does now.
    """
    for fence in (report.fence, *(lease.fence for lease in report.leases)):
        if fence and (excess := check_fence(fence, limits, wall)) is not None:
            return f"it tells what cannot be: {excess.detail}"
    for ttl in (lease.ttl for lease in report.leases):
        if not 0 < ttl <= LONGEST_TTL:
            most = seconds(LONGEST_TTL)
            return f"it tells of a lease for {seconds(ttl):g} s, and no cluster allows more than {most:g} s"
    return None


def answers_needed(cluster: Cluster) -> int:
    """Return how many peers must tell what they hold.

    A lease stands on a majority of its nodes; without this one it stands on at least a majority less one of the
    others, and so many answers always meet it. Where one node alone decides, its peers know nothing.
    """
    return len(cluster.nodes) - cluster.majority + 1 if cluster.majority > 1 else 0


@dataclass(slots=True)
class Rejoin:
    """The silence of one node, from its start to its verdict; instants in microseconds of its own clock.

    What is held is read twice, the second time after the first is complete: a holder may leave a peer that is yet to be
    read for one that was. It cannot also leave that one before it is read again, as long as both readings lie within
    what a lease lasts that somebody relies on after the silence. All that either reading showed is adopted. The second
    asks only for what was granted since the first, which keeps it short, however many leases there are.

    `said_to_be_new` is the operator's word that nothing is held anywhere.
    """

    peers: Iterable[str]
    needed: int
    began: int
    silence: int = SILENCE
    said_to_be_new: bool = False
    _peers: dict[str, _Peer] = field(init=False)
    _second_begins: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._peers = {peer: _Peer() for peer in self.peers}

    # Events

    def on_report(self, report: Report, asked_at: int, now: int, *, since: int = 0, read_at: int | None = None) -> None:
        """Take what a peer told of its leases after number `since`, all of its pages put together.

        The first page was asked for at `asked_at`, the last at `read_at`: leases given in between are on it.
        """
        peer = self._peers[report.node]
        peer.recovering, peer.said = report.recovering, _saying(report)
        # A word once given stays true: it was given after this life began, so no earlier one is behind what follows.
        peer.never = peer.never or report.never
        if not report.recovering and asked_at >= self.silence_ends and self._add(peer, report, asked_at, now, since):
            self._note_read(peer, asked_at, now, asked_at if read_at is None else read_at)

    def _add(self, peer: _Peer, report: Report, asked_at: int, now: int, since: int) -> bool:
        """Put what was told to what is known; False when the two do not follow each other."""
        known = peer.reading
        if known is not None and (known.incarnation != report.incarnation or known.began + self._keeps < now):
            peer.forget()
            self._begin_again()
            known = None
        if since != (0 if known is None else known.upto):
            return False
        reading = peer.reading = known or _Reading(report.incarnation, asked_at)
        reading.leases += report.leases
        reading.upto, reading.fence = report.upto, report.fence
        return True

    def _note_read(self, peer: _Peer, asked_at: int, now: int, read_at: int) -> None:
        firsts = [one.first_at for one in self._peers.values() if one.first_at is not None]
        if any(first + self.silence // 2 < now for first in firsts):
            self._begin_again()
        if self._second_begins is None:
            peer.first_at = read_at
            if sum(one.first_at is not None for one in self._peers.values()) >= self.needed:
                self._second_begins = now
        elif peer.first_at is not None and asked_at >= self._second_begins:
            peer.read_twice = True

    def _begin_again(self) -> None:
        """Read twice anew, from where each reading stands."""
        self._second_begins = None
        for peer in self._peers.values():
            peer.first_at, peer.read_twice = None, False

    def on_no_report(self, node: str, cause: str) -> None:
        """Note why a peer did not tell anything."""
        self._peers[node].said = cause

    def on_asked(self, node: str) -> None:
        """Note that a peer asked us: it has our word that we have never granted anything."""
        if node in self._peers:
            self._peers[node].has_asked = True

    # Questions

    @property
    def silence_ends(self) -> int:
        """From when on leases are read."""
        return self.began + self.silence

    def to_ask(self) -> list[str]:
        """Return the peers whose leases are to be read, for the first or the second time."""
        if self._second_begins is None:
            return [name for name, peer in self._peers.items() if peer.first_at is None]
        return [name for name, peer in self._peers.items() if peer.first_at is not None and not peer.read_twice]

    def known_upto(self, node: str) -> int:
        """Return after which number a peer's leases are still to be read."""
        reading = self._peers[node].reading
        return 0 if reading is None else reading.upto

    def verdict(self, now: int, wall: int) -> Verdict | None:
        """Return how the silence ends, or None while it must last. `wall` is this node's wall clock."""
        if self.said_to_be_new:
            return Verdict([], wall, new_cluster=True)
        if self._is_new():
            return Verdict([], 0, new_cluster=True)
        readings = [peer.reading for peer in self._peers.values() if peer.reading is not None and peer.read_twice]
        if now < self.silence_ends or len(readings) < self.needed:
            return None
        leases = _merged(lease for reading in readings for lease in reading.leases)
        return Verdict(leases, max([wall, *(reading.fence for reading in readings)]), new_cluster=False)

    @property
    def _keeps(self) -> int:
        """How long leases that may have ended meanwhile are kept while others are still to be read."""
        return _READ_ANEW * self.silence

    def _is_new(self) -> bool:
        """Whether all peers said so, and those who rejoin too have our word that nothing was granted here.

        Whoever serves without having given that word would grant before the others asked, and make them silent.
        """
        return all(peer.never and (peer.has_asked or not peer.recovering) for peer in self._peers.values())

    def readiness(self, now: int) -> Readiness:
        """Return why the node is silent, and for how much longer at least."""
        remaining = max(0, self.silence_ends - now)
        peers = "; ".join(f"{name}: {peer.said}" for name, peer in self._peers.items())
        if remaining:
            reason = (
                "this node recovers: it has no journal of an earlier life, and unless every peer says that the "
                f"cluster is new it stays silent for {seconds(remaining):.1f} s more ({peers})"
            )
        else:
            told = sum(peer.first_at is not None for peer in self._peers.values())
            reason = (
                f"this node recovers: it must learn from {self.needed} peers what is held, and has learnt it "
                f"from {told} ({peers}); start those nodes, or start this one with --new-cluster if nothing can be held"
            )
        return Readiness(State.RECOVERING, reason, remaining)


def _saying(report: Report) -> str:
    if report.recovering:
        return "it recovers too" if report.never else "it recovers too, and says the cluster is not new"
    return "it has never granted anything" if report.never else "it says the cluster is not new"


def _merged(leases: Iterable[Adoption]) -> list[Adoption]:
    """Let each token stand once, with the most that anybody told of it."""
    found: dict[str, Adoption] = {}
    for lease in leases:
        known = found.get(lease.digest)
        if known is not None:
            fence, ttl = max(lease.fence, known.fence), max(lease.ttl, known.ttl)
            revoked = lease.revoked or known.revoked
            lease = msgspec.structs.replace(lease, fence=fence, ttl=ttl, revoked=revoked)
        found[lease.digest] = lease
    return list(found.values())
