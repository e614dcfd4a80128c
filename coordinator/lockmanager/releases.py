"""Which releases a node still has to confirm: sent again on each reconnect, until their ttl has passed. Pure.

Only tokens the node was asked under are kept: it cannot hold what it never heard of. After a reconnect they are
handed out in portions, the next one when the node has answered, so that a long list does not outgrow what may wait for
a connection.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .wire import Token

PORTION: Final = 10_000
"""Releases sent again at once."""

_PRUNE_AT: Final = 1024


class Releases:
    """The releases of one channel; instants in microseconds of the coordinator's clock."""

    def __init__(self) -> None:
        self._asked: set[Token] = set()
        self._unconfirmed: dict[Token, int] = {}
        self._backlog: deque[Token] = deque()
        self._prune_at = _PRUNE_AT

    def __len__(self) -> int:
        return len(self._unconfirmed)

    @property
    def backlog(self) -> bool:
        """Whether `next_portion` may have something to send again."""
        return bool(self._backlog)

    def __contains__(self, token: Token) -> bool:
        return token in self._unconfirmed

    def ask(self, token: Token) -> None:
        """Note that the node was asked for a lease under this token."""
        self._asked.add(token)

    def release(self, token: Token, until: int, now: int) -> bool:
        """Keep a release until it is confirmed or `until`; returns False when the node never heard of the token."""
        if token not in self._asked:
            return False
        self._asked.remove(token)
        self._unconfirmed[token] = until
        if len(self._unconfirmed) >= self._prune_at:
            self._prune(now)
        return True

    def confirm(self, token: Token) -> None:
        """Note that the node knows nothing of the token any more."""
        self._unconfirmed.pop(token, None)

    def reconnected(self, now: int) -> None:
        """Start over with what is still unconfirmed."""
        self._prune(now)
        self._backlog = deque(self._unconfirmed)

    def next_portion(self) -> list[Token]:
        """Return what to send again next; empty when all of it was."""
        portion: list[Token] = []
        while self._backlog and len(portion) < PORTION:
            token = self._backlog.popleft()
            if token in self._unconfirmed:
                portion.append(token)
        return portion

    def _prune(self, now: int) -> None:
        self._unconfirmed = {token: until for token, until in self._unconfirmed.items() if until > now}
        self._prune_at = max(_PRUNE_AT, 2 * len(self._unconfirmed))
