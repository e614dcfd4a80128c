"""The line of one lock: its waiters, and who stands before whom.

A waiter's place is `(ticket, token)`: the ticket is older than any node's clock reading, the token breaks ties.
Nothing here knows of time, sessions or leases.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from lockmanager.wire import Mode, Space, Token

Owner = str
"""Whom answers about a token are addressed to: a session, or one HTTP request."""

Key = tuple[Space, str]
"""A lock: its space and its name."""

Place = tuple[int, Token]


class Waiter(msgspec.Struct, eq=False, gc=False):
    """One acquisition as a node knows it; it keeps its place when its lease is given back. No repr shows a secret."""

    token: Token
    key: Key
    owner: Owner
    label: str
    ticket: int
    ttl: int
    mode: Mode

    def __repr__(self) -> str:
        return (
            f"Waiter(key={self.key!r}, label={self.label!r}, ticket={self.ticket}, ttl={self.ttl}, mode={self.mode!r})"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("key", self.key), ("label", self.label), ("ticket", self.ticket)]

    @property
    def place(self) -> Place:
        """Where it stands in a line."""
        return self.ticket, self.token


class Line:
    """Waiters ordered by place; the head is served next."""

    __slots__ = ("_places", "_waiters")

    def __init__(self) -> None:
        self._places: list[Place] = []  # those of the waiters, in the same order: tuples are compared without a call
        self._waiters: list[Waiter] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._waiters)

    @property
    def head(self) -> Waiter | None:
        """The waiter with the smallest place, or None."""
        return self._waiters[0] if self._waiters else None

    def add(self, waiter: Waiter) -> None:
        """Let the waiter stand at its place."""
        place = waiter.place
        index = bisect_right(self._places, place)
        self._places.insert(index, place)
        self._waiters.insert(index, waiter)

    def remove(self, waiter: Waiter) -> None:
        """Take the waiter out; raises ValueError when it does not stand here."""
        index = bisect_left(self._places, waiter.place)
        if index == len(self._waiters) or self._waiters[index] is not waiter:
            raise ValueError(f"{waiter!r} does not stand in this line")
        del self._places[index], self._waiters[index]
