"""What the nodes of one lock have said about one token, and what follows from it. Pure.

A grant counts while its bound lies ahead. The validity of a lease is the latest instant at which a majority of
the bounds still hold; its fence is the largest fence among the grants that count, once a majority stands at it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from .actions import FIRST_TTL
from .durations import bound, notice
from .wire import GrantId, Holder


class Link(Enum):
    """How the session to a node is."""

    CONNECTING = auto()
    LIVE = auto()
    DOWN = auto()
    REFUSED = auto()
    """Down, and asking again will not help: another cluster, another protocol, no access."""


class Said(Enum):
    """The node's newest answer about the token."""

    NOTHING = auto()
    GRANTED = auto()
    QUEUED = auto()
    REFUSED = auto()
    REJECTED = auto()
    REVOKED = auto()
    RECOVERING = auto()
    """Neither yes nor no: the node is silent after a start."""


_LIVE = Link.LIVE  # reading a member of an enumeration costs a call


@dataclass(slots=True)
class Grant:
    """A recorded grant; `bound` (microseconds of our clock) is None until a renewal proved one, for `bound_ttl`.

    `confirmed` is the longest ttl the node confirmed, of a decision after `echo`; `newest` is the newest echo of all.
    """

    grant_id: GrantId
    fence: int
    bound: int | None
    bound_ttl: int = 0
    echo: int = 0
    confirmed: int = 0
    newest: int = 0
    raised_to: int = 0
    asked_ttl: int = 0
    asked_at: int = 0

    def confirm(self, echo: int, ttl: int, *, trusted: int) -> None:
        """Take a node's word for `ttl`; no more than `trusted` of it counts so far."""
        counting = min(ttl, trusted)
        proved = bound(echo, counting)
        if self.bound is None or proved > self.bound:
            self.bound, self.bound_ttl = proved, counting
        if echo > self.newest:
            self.newest = echo
        if ttl > self.confirmed or (ttl == self.confirmed and echo > self.echo):
            self.echo, self.confirmed = echo, ttl

    def trust(self, ttl: int) -> None:
        """Let all of `ttl`, which was confirmed, count."""
        self.bound, self.bound_ttl = max((self.bound or 0, self.bound_ttl), (bound(self.echo, ttl), ttl))

    def cut(self, ttl: int) -> None:
        """Rely on no more than `ttl` after the newest confirmation."""
        self.bound, self.bound_ttl = min((self.bound or 0, self.bound_ttl), (bound(self.newest, ttl), ttl))
        self.confirmed = min(self.confirmed, ttl)

    def wants_renewal(self, ttl: int, now: int) -> bool:
        """Say whether it is renewed before its turn: no bound is known, or it was older than a heartbeat when it came.

        A pushed grant is as old as our newest frame was. The next renewal of the schedule may be a third of the ttl
        away, and its answer a round trip more: for somebody far from the nodes that could be too late.
        """
        if self.asked_ttl >= ttl:
            return False
        return self.bound is None or self.bound - now < ttl - ttl // 5

    def ask(self, ttl: int, now: int) -> None:
        """Note that the node is asked for `ttl`."""
        self.asked_ttl, self.asked_at = max(self.asked_ttl, ttl), now


@dataclass(slots=True)
class Vote:
    """One node's part in an acquisition."""

    node: str
    link: Link = Link.CONNECTING
    cause: str = "not connected yet"
    said: Said = Said.NOTHING
    grant: Grant | None = None
    yielded: GrantId | None = None
    holders: Sequence[Holder] = ()
    code: str = ""
    detail: str = ""
    ask_again_at: int = 0
    renewals: int = 0

    @property
    def rejects(self) -> bool:
        """Whether the node is in reach and does not want us: it was full, or our clocks differ."""
        return self.said is Said.REJECTED and self.link is _LIVE and self.grant is None

    def reject(self, code: str, detail: str, ask_again_at: int) -> None:
        """Note why the node does not want us, and when it is asked again."""
        self.said, self.code, self.detail, self.ask_again_at = Said.REJECTED, code, detail, ask_again_at

    def forget_token(self) -> None:
        """Start over for a new token; the link stays what it is."""
        self.said, self.grant, self.yielded = Said.NOTHING, None, None
        self.holders, self.code, self.detail = (), "", ""

    def forget_questions(self) -> None:
        """Ask again what may have been lost with the connection."""
        if self.grant is not None:
            self.grant.raised_to = self.grant.asked_ttl = self.grant.asked_at = 0

    def describe(self) -> str:
        """Return what is known of the node in this acquisition, for people."""
        if self.link is not Link.LIVE:
            return self.cause
        match self.said:
            case Said.NOTHING:
                return "no answer"
            case Said.REJECTED:
                return f"rejected ({self.code}): {self.detail}"
            case said:
                return said.name.lower()


class Ballot:
    """The votes of all nodes of one lock."""

    def __init__(self, nodes: Iterable[str], first_ttl: int = FIRST_TTL) -> None:
        self.trusted_ttl = self._first_ttl = first_ttl
        self._votes = {node: Vote(node) for node in nodes}
        self.votes = tuple(self._votes.values())
        self.majority = len(self.votes) // 2 + 1

    def __getitem__(self, node: str) -> Vote:
        return self._votes[node]

    def __iter__(self) -> Iterator[Vote]:
        return iter(self.votes)

    def __len__(self) -> int:
        return len(self.votes)

    def counted(self, now: int) -> list[Grant]:
        """Return the grants whose bound lies ahead."""
        counted: list[Grant] = []
        for vote in self.votes:
            grant = vote.grant
            if grant is not None and grant.bound is not None and grant.bound > now:
                counted.append(grant)
        return counted

    def forget_token(self) -> None:
        """Start over for a new token."""
        self.trusted_ttl = self._first_ttl
        for vote in self:
            vote.forget_token()

    def confirm(self, grant: Grant, echo: int, ttl: int) -> None:
        """Take a node's word for `ttl`; of one above the first no more counts than is trusted so far."""
        grant.confirm(echo, ttl, trusted=self.trusted_ttl)

    def settled_at(self, ttl: int) -> bool:
        """Say whether `ttl` is no more than is trusted at first, and no bound rests on more."""
        return self.trusted_ttl == self._first_ttl >= ttl

    @property
    def carried_ttl(self) -> int:
        """The ttl above the first that every message must carry, because bounds rest on it; 0 when there is none."""
        return self.trusted_ttl if self.trusted_ttl > self._first_ttl else 0

    def settle_ttl(self, ttl: int, now: int) -> bool:
        """Rely on the wanted ttl of a lease that is held, as far as the nodes' word for it goes.

        On one above the first once a majority confirmed it of late: a node that forgot its grant is silent until all of
        these are old news, and then learns the ttl from the others. On a shorter one than so far once a majority was
        heard of late: then no bound rests on the longer one any more. Returns whether bounds changed.
        """
        if ttl > self.trusted_ttl:
            fresh = self.fresh(ttl, now)
            if len(fresh) < self.majority:
                return False
            self.trusted_ttl = ttl
            for grant in fresh:
                grant.trust(ttl)
            return True
        if ttl < self.carried_ttl and self._heard_within_half(ttl, now):
            self.trusted_ttl = max(ttl, self._first_ttl)
            for grant in self._grants():
                grant.cut(ttl)
            return True
        return False

    def _heard_within_half(self, ttl: int, now: int) -> bool:
        return sum(bound(grant.newest, ttl) - now > ttl // 2 for grant in self._grants()) >= self.majority

    def fresh(self, ttl: int, now: int) -> list[Grant]:
        """Return the grants that were confirmed for `ttl` and cannot have been forgotten since."""
        return [grant for grant in self._grants() if grant.confirmed >= ttl and self._fresh_until(grant) > now]

    def wants_word(self, grant: Grant, ttl: int, now: int) -> bool:
        """Say whether a node is to be asked for `ttl`: it was not yet, or what it said then is too old to rest on."""
        if grant.confirmed < ttl:
            return grant.asked_ttl < ttl
        return ttl > self.trusted_ttl and grant.asked_at < self._fresh_until(grant) <= now

    def _fresh_until(self, grant: Grant) -> int:
        return bound(grant.echo, min(grant.confirmed, self._first_ttl))

    def _grants(self) -> Iterator[Grant]:
        return (vote.grant for vote in self.votes if vote.grant is not None)

    def validity(self) -> int:
        """Return until when a majority of the bounds holds; 0 when fewer than a majority are known."""
        bounds: list[int] = []
        for vote in self.votes:
            grant = vote.grant
            if grant is not None and grant.bound is not None:
                bounds.append(grant.bound)
        return self._until_of_majority(bounds)

    def loss_at(self, ttl: int) -> int:
        """Return when a holder is told, once its ttl was changed to `ttl`: what was given for less ends at less notice.

        The notice of a longer ttl that no majority has confirmed so far would bring the loss of a sound lease nearer.
        """
        return self._until_of_majority(
            [grant.bound - notice(min(ttl, grant.bound_ttl)) for grant in self._grants() if grant.bound is not None]
        )

    def _until_of_majority(self, instants: list[int]) -> int:
        if len(instants) < self.majority:
            return 0
        instants.sort()
        return instants[-self.majority]

    def to_raise(self, fence: int) -> list[str]:
        """Return the nodes that granted below `fence` and are not asked for it yet; from now on they are."""
        below = []
        for vote in self.votes:
            grant = vote.grant
            if grant is not None and grant.fence < fence and grant.raised_to < fence:
                grant.raised_to = fence
                below.append(vote.node)
        return below

    def to_renew(self, ttl: int) -> list[str]:
        """Return the nodes in reach with a recorded grant, which are asked for `ttl` from now on."""
        asked = []
        for vote in self.votes:
            grant = vote.grant
            if grant is not None and vote.link is _LIVE:
                grant.asked_ttl = max(grant.asked_ttl, ttl)
                asked.append(vote.node)
        return asked

    def to_ask_again(self, now: int, pause: int) -> list[str]:
        """Return the nodes that rejected us and are to be asked again by now; the next time is a pause later."""
        due = [vote for vote in self.votes if vote.rejects and now >= vote.ask_again_at]
        for vote in due:
            vote.ask_again_at = now + pause
        return [vote.node for vote in due]

    def ask_again_at(self) -> list[int]:
        """Return when the nodes that reject us are asked again."""
        return [vote.ask_again_at for vote in self.votes if vote.rejects]

    def live(self) -> int:
        """Return how many sessions are live."""
        return [vote.link for vote in self.votes].count(_LIVE)

    def count(self, *said: Said) -> int:
        """Return how many nodes said one of these last."""
        if len(said) == 1:
            return [vote.said for vote in self.votes].count(said[0])
        return sum(vote.said in said for vote in self.votes)

    def count_live(self, *said: Said) -> int:
        """Return how many nodes in reach said one of these last; with `unreachable` no node is counted twice."""
        return sum(vote.link is Link.LIVE and vote.said in said for vote in self)

    def refused_links(self) -> int:
        """Return how many nodes will not talk to us however often we ask."""
        return [vote.link for vote in self.votes].count(Link.REFUSED)

    def unreachable(self, *, silent_too: bool) -> int:
        """Return how many nodes cannot say yes: down, or (when `silent_too`) without an answer so far."""
        down = sum(vote.link in (Link.DOWN, Link.REFUSED) for vote in self)
        if not silent_too:
            return down
        return down + sum(
            vote.link is Link.CONNECTING or (vote.link is Link.LIVE and vote.said is Said.NOTHING) for vote in self
        )

    def answered(self) -> int:
        """Return how many nodes in reach have answered yes or no."""
        return sum(vote.link is Link.LIVE and vote.said not in (Said.NOTHING, Said.RECOVERING) for vote in self)

    def out_of_reach(self, lost_votes: int) -> bool:
        """Say whether a majority is impossible once this many nodes do not say yes."""
        return len(self.votes) - lost_votes < self.majority

    def is_split(self) -> bool:
        """Say whether no holder that the refusals name stands on a majority."""
        seen = Counter(holder.token_hash for vote in self if vote.said is Said.REFUSED for holder in vote.holders)
        return not seen or max(seen.values()) < self.majority

    def renewals_answered(self) -> dict[str, int]:
        """Return how many renewals each node has confirmed."""
        return {vote.node: vote.renewals for vote in self}

    def holders(self) -> tuple[Holder, ...]:
        """Return the holders the nodes named, each once, the most often named first."""
        named = Counter(holder for vote in self for holder in vote.holders)
        return tuple(holder for holder, _ in named.most_common())

    def describe(self) -> dict[str, str]:
        """Return what each node is known to have said, for people."""
        return {vote.node: vote.describe() for vote in self}
