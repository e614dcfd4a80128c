"""One acquisition with a clock that tests turn by hand, and short words for what its nodes say.

Every word (`grant`, `refuse`, `wait`, ...) returns the actions that follow. All words about grants speak of the
node's current grant unless one is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import pytest

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Action, Failed, Failure, Request, Send
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.wire import (
    TOKEN_LENGTH,
    Acquire,
    Answer,
    Granted,
    GrantId,
    Holder,
    Inquire,
    Lost,
    Mode,
    Queued,
    Raised,
    Refused,
    Rejected,
    Release,
    Renewed,
    Revoked,
    Space,
    Token,
    UpMessage,
)

NOW = 1_000 * MICROSECONDS
TICKET = 1_700_000_000 * MICROSECONDS
TTL = 10 * MICROSECONDS
NODE_TIMEOUT = microseconds(0.3)
Actions = list[Action]
Message = TypeVar("Message", bound=UpMessage)


def bound(echo: int, ttl: int = TTL) -> int:
    """Return until when a grant of `ttl` decided after `echo` may be relied on, as the design words it."""
    return echo + ttl - (ttl // 100 + 2_000)


def holder(name: str, mode: Mode = Mode.EXCLUSIVE) -> Holder:
    """Return a holder whom nodes name; the same name is the same acquisition."""
    return Holder(f"label of {name}", f"hash of {name}", mode)


def sent(actions: Iterable[Action], kind: type[Message]) -> dict[str, Message]:
    """Return the messages of this kind by node; two of them to one node are an error."""
    found = [(action.node, action.message) for action in actions if isinstance(action, Send)]
    messages = [(node, message) for node, message in found if isinstance(message, kind)]
    assert len(dict(messages)) == len(messages), f"sent twice to one node: {messages}"
    return dict(messages)


def news(actions: Iterable[Action]) -> Actions:
    """Return what is not a message to a node."""
    return [action for action in actions if not isinstance(action, Send)]


def failure(actions: Iterable[Action]) -> Failure | None:
    """Return why the acquisition failed, if it did."""
    return next((action.failure for action in actions if isinstance(action, Failed)), None)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the rules must not depend on: the mode and the number of nodes."""

    mode: Mode
    size: int

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(f"node{number}" for number in range(1, self.size + 1))

    @property
    def majority(self) -> int:
        return {1: 1, 3: 2, 5: 3}[self.size]

    def __str__(self) -> str:
        return f"{self.mode.name.lower()}-{self.size}"


EXCLUSIVE_OF_3 = Kind(Mode.EXCLUSIVE, 3)
KINDS = [Kind(mode, size) for mode in Mode for size in (3, 5)]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
each_mode = pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name.lower())


class Case:
    """An acquisition of which nothing was sent yet; `live` nodes (default: all) are in reach."""

    def __init__(
        self,
        kind: Kind = EXCLUSIVE_OF_3,
        *,
        ttl: int = TTL,
        wait: bool = True,
        patient: bool = True,
        deadline: float | None = None,
        live: Iterable[str] | None = None,
    ) -> None:
        self.kind, self.nodes, self.now = kind, kind.nodes, NOW
        in_reach = set(kind.nodes if live is None else live)
        request = Request(
            space=Space.QUORUM,
            name="orders/42",
            mode=kind.mode,
            ttl=ttl,
            ticket=TICKET,
            label="ann",
            nodes=kind.nodes,
            wait=wait,
            deadline=None if deadline is None else NOW + microseconds(deadline),
            patient=patient,
        )
        links = {node: (Link.LIVE, "") if node in in_reach else (Link.DOWN, "is down") for node in kind.nodes}
        self.acquisition = Acquisition(request, links, NOW)
        self.grants: dict[str, GrantId] = {}
        self._tokens, self._counter = count(1), count(1)

    @classmethod
    def waiting(cls, kind: Kind = EXCLUSIVE_OF_3, *, ttl: int = TTL, deadline: float | None = None) -> Case:
        """Return an acquisition that has asked all nodes and waits in line."""
        case = cls(kind, ttl=ttl, deadline=deadline)
        case.start()
        return case

    @classmethod
    def trial(cls, kind: Kind = EXCLUSIVE_OF_3, *, ttl: int = TTL) -> Case:
        """Return a try (`wait=0`) that has asked all nodes."""
        case = cls(kind, ttl=ttl, wait=False, patient=False)
        case.start()
        return case

    @classmethod
    def holding(cls, kind: Kind = EXCLUSIVE_OF_3, *, ttl: int = TTL) -> Case:
        """Return an acquisition held on the first majority of the nodes, with bounds from now."""
        case = cls.waiting(kind, ttl=ttl)
        for node in case.some:
            case.grant(node)
        assert case.held, "a majority of grants did not hold the lock"
        return case

    # Questions

    @property
    def some(self) -> tuple[str, ...]:
        """The first majority of the nodes."""
        return self.nodes[: self.kind.majority]

    @property
    def rest(self) -> tuple[str, ...]:
        """The nodes beyond the first majority."""
        return self.nodes[self.kind.majority :]

    @property
    def phase(self) -> str:
        return self.acquisition.phase.name

    @property
    def held(self) -> bool:
        return self.phase == "HELD"

    @property
    def token(self) -> Token:
        return self.acquisition.token

    def wakeup(self) -> int | None:
        return self.acquisition.next_wakeup(self.now)

    def recorded(self, node: str) -> GrantId | None:
        """Return the grant of the node that the acquisition knows."""
        grant = self.acquisition.ballot[node].grant
        return None if grant is None else grant.grant_id

    # What happens

    def start(self) -> Actions:
        """Ask the nodes under a token of its own."""
        return self.acquisition.start(Token(f"{next(self._tokens):0{TOKEN_LENGTH}d}"), self.now)

    def wait(self, seconds: float) -> Actions:
        """Let time pass and decide what time decides."""
        self.now += microseconds(seconds)
        return self.acquisition.tick(self.now)

    def wait_until(self, instant: int) -> Actions:
        self.now = instant
        return self.acquisition.tick(instant)

    def link(self, node: str, link: Link, cause: str = "is down") -> Actions:
        return self.acquisition.on_link(node, link, "" if link is Link.LIVE else cause, self.now)

    def down(self, *nodes: str) -> Actions:
        return [action for node in nodes for action in self.link(node, Link.DOWN)]

    def up(self, *nodes: str) -> Actions:
        return [action for node in nodes for action in self.link(node, Link.LIVE)]

    def answer(self, node: str, answer: Answer, echo: int | None = None) -> Actions:
        return self.acquisition.on_answer(node, self.now if echo is None else echo, answer, self.now)

    def grant(
        self,
        node: str,
        *,
        fence: int = TICKET,
        echo: int | None = None,
        ttl: int = TTL,
        resent: bool = False,
        grant_id: GrantId | None = None,
    ) -> Actions:
        """Grant anew; a `resent` grant is the node's current one."""
        if grant_id is None:
            grant_id = self.grants.get(node) if resent else None
        self.grants[node] = grant_id or (7, next(self._counter))
        return self.answer(node, Granted(self.token, self.grants[node], fence, ttl, resent), echo)

    def grant_all(self, nodes: Iterable[str], *, fence: int = TICKET, ttl: int = TTL) -> Actions:
        return [action for node in nodes for action in self.grant(node, fence=fence, ttl=ttl)]

    def queue(self, node: str, *names: str) -> Actions:
        return self.answer(node, Queued(self.token, [holder(name) for name in names]))

    def refuse(self, node: str, *names: str) -> Actions:
        return self.answer(node, Refused(self.token, [holder(name) for name in names]))

    def inquire(self, node: str, grant_id: GrantId | None = None) -> Actions:
        return self.answer(node, Inquire(self.token, grant_id or self.grants[node]))

    def raised(self, node: str, fence: int) -> Actions:
        return self.answer(node, Raised(self.token, fence))

    def renewed(self, node: str, *, ttl: int = TTL, echo: int | None = None) -> Actions:
        return self.answer(node, Renewed(self.token, ttl), echo)

    def lost(self, node: str) -> Actions:
        return self.answer(node, Lost(self.token))

    def revoked(self, node: str) -> Actions:
        return self.answer(node, Revoked(self.token))

    def reject(self, node: str, code: str = "waiters") -> Actions:
        return self.answer(node, Rejected(self.token, code, "too many wait for this lock"))

    # What must follow

    def assert_released_everywhere(self, actions: Actions, token: Token | None = None) -> None:
        expected = {node: Release(token or self.token) for node in self.nodes}
        assert sent(actions, Release) == expected

    def assert_acquires(self, actions: Actions, *nodes: str) -> None:
        """Exactly these nodes are asked, with this acquisition's ticket and newest token."""
        acquires = sent(actions, Acquire)
        assert set(acquires) == set(nodes)
        assert {(one.token, one.ticket, one.mode) for one in acquires.values()} <= {
            (self.token, TICKET, self.kind.mode)
        }
