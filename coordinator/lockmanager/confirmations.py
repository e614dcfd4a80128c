"""Who waits for a majority of nodes to confirm a release, and for how long: one timer for all of them.

All wait for the same time, so they give up in the order in which they came: a queue is enough.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .actions import NODE_TIMEOUT
from .durations import MICROSECONDS
from .wire import Token

DEADLINE: Final = NODE_TIMEOUT / MICROSECONDS
"""Seconds after which nobody waits for a confirmation any more."""


class _Waiting:
    """One release that waits for `missing` more nodes."""

    __slots__ = ("done", "missing")

    def __init__(self, done: asyncio.Future[bool], missing: int) -> None:
        self.done = done
        self.missing = missing

    def end(self, *, confirmed: bool) -> None:
        if not self.done.done():
            self.done.set_result(confirmed)


class Confirmations:
    """The releases of one coordinator that somebody waits for."""

    def __init__(self) -> None:
        self._waiting: dict[Token, _Waiting] = {}
        self._in_order: deque[tuple[float, _Waiting]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, token: Token, majority: int) -> bool:
        """Wait until `majority` nodes confirmed the token's release; False when too few did within the deadline."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting[token] = _Waiting(loop.create_future(), majority)
        self._in_order.append((loop.time() + DEADLINE, waiting))
        if self._timer is None:
            self._timer = loop.call_later(DEADLINE, self._on_timer)
        try:
            return await waiting.done
        finally:
            del self._waiting[token]

    def add(self, token: Token) -> None:
        """Note that one more node confirmed the release of a token."""
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.missing -= 1
            if waiting.missing <= 0:
                waiting.end(confirmed=True)

    def give_up(self) -> None:
        """Let nobody wait any longer: no node will be heard any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._waiting.values():
            waiting.end(confirmed=False)
        self._in_order.clear()

    def _on_timer(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._in_order and (self._in_order[0][1].done.done() or self._in_order[0][0] <= now):
            self._in_order.popleft()[1].end(confirmed=False)
        if self._in_order:
            self._timer = loop.call_at(self._in_order[0][0], self._on_timer)
