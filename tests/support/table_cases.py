"""A lock table with a clock that tests turn by hand, and short words for its requests.

A person ("ann") stands for one acquisition: her token, and by default her own session, follow from the name.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.wire import (
    TOKEN_LENGTH,
    Acquire,
    Answer,
    Granted,
    GrantId,
    Mode,
    Raise,
    Release,
    Renew,
    Space,
    Token,
    Yield,
)
from lockmanager_node.limits import Limits
from lockmanager_node.line import Key, Owner
from lockmanager_node.lock import Lease, Lock
from lockmanager_node.table import Outbox, Table

INCARNATION = 7
NOW = 1_000 * MICROSECONDS
WALL = 1_700_000_000 * MICROSECONDS
TTL = 10 * MICROSECONDS
KEY: Key = (Space.QUORUM, "orders/42")

Kind = TypeVar("Kind")

EXCLUSIVE, SHARED = Mode.EXCLUSIVE, Mode.SHARED
each_mode = pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name.lower())
each_space = pytest.mark.parametrize("space", list(Space), ids=lambda space: space.name.lower())


def token_of(who: str) -> Token:
    """Return the token of the person's acquisition."""
    assert who.isalnum(), f"{who!r} makes no token"
    return Token(who.rjust(TOKEN_LENGTH, "0"))


def session_of(who: str) -> Owner:
    """Return the session of the person."""
    return f"session of {who}"


def acquire(who: str, *, ticket: int = 0, ttl: int = TTL, mode: Mode = EXCLUSIVE, **more: Any) -> Acquire:
    """Return a request; `more` may set `space`, `name`, `wait` and `label`."""
    return Acquire(
        token=token_of(who),
        space=more.pop("space", KEY[0]),
        name=more.pop("name", KEY[1]),
        ticket=ticket,
        ttl=ttl,
        mode=mode,
        wait=more.pop("wait", True),
        label=more.pop("label", who),
        **more,
    )


class Desk:
    """A table, its clock, and the requests of people to it."""

    def __init__(self, limits: Limits | None = None, *, fence_floor: int = 0) -> None:
        self.table = Table(INCARNATION, limits, fence_floor)
        self.now = NOW
        self._tickets = WALL

    def ask(self, who: str, request: Any, *, owner: Owner | None = None) -> Outbox:
        return self.table.handle(owner or session_of(who), request, self.now, WALL)

    def acquire(self, who: str, *, owner: Owner | None = None, ticket: int = 0, **more: Any) -> Outbox:
        """Acquire, with a ticket larger than any this desk gave before, unless one is given."""
        self._tickets += 1
        return self.ask(who, acquire(who, ticket=ticket or self._tickets, **more), owner=owner)

    def release(self, who: str, *, owner: Owner | None = None) -> Outbox:
        return self.ask(who, Release(token_of(who)), owner=owner)

    def renew(self, who: str, ttl: int = TTL, *, owner: Owner | None = None) -> Outbox:
        return self.ask(who, Renew(token_of(who), ttl), owner=owner)

    def raise_to(self, who: str, fence: int) -> Outbox:
        return self.ask(who, Raise(token_of(who), fence))

    def give_back(self, who: str, grant_id: GrantId | None = None, *, owner: Owner | None = None) -> Outbox:
        """Yield the person's current grant, or the grant named."""
        return self.ask(who, Yield(token_of(who), grant_id or self.lease(who).grant_id), owner=owner)

    def wait(self, seconds: float) -> Outbox:
        """Let time pass and do what is due."""
        self.now += microseconds(seconds)
        return self.table.expire(self.now)

    def lease(self, who: str) -> Lease:
        lease = self.table.lease(token_of(who))
        assert lease is not None, f"{who} holds nothing"
        return lease

    def holds(self, who: str) -> bool:
        return self.table.lease(token_of(who)) is not None

    def fence(self, who: str) -> int:
        return self.lease(who).fence

    @property
    def lock(self) -> Lock:
        """The lock all requests are about by default."""
        return self.table.locks[KEY]

    def line(self) -> list[str]:
        """Return the labels of those who wait, first come first."""
        return [waiter.label for waiter in self.lock.line] if KEY in self.table.locks else []


def told(who: str, outbox: Outbox) -> list[Answer]:
    """Return what this person's session is told."""
    return [answer for owner, answer in outbox if owner == session_of(who)]


def only(kind: type[Kind], outbox: Outbox) -> Kind:
    """Return the one message in the outbox, which must be of this kind."""
    assert [type(answer) for _, answer in outbox] == [kind], outbox
    answer = outbox[0][1]
    assert isinstance(answer, kind)
    return answer


def of_kind(kind: type[Kind], outbox: Outbox) -> list[Kind]:
    """Return the messages of this kind, in order."""
    return [answer for _, answer in outbox if isinstance(answer, kind)]


def granted_labels(desk: Desk, outbox: Outbox) -> list[str]:
    """Return the labels of those granted, in the order they are told."""
    labels = {lease.waiter.token: lease.waiter.label for lease in desk.lock.leases.values()}
    return [labels[answer.token] for answer in of_kind(Granted, outbox)]
