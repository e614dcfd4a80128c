"""One acquisition at work: carries out what the state machine decides, and keeps its one timer.

It lives from the first request until its lease is over. The caller waits on `outcome`; whoever holds the lease
learns of its end through `lost` and the callbacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .acquisition import Acquisition
from .actions import Action, Apart, Failed, Held, Lost, Phase, Request, Send
from .ballot import Link
from .durations import MICROSECONDS, seconds
from .errors import LockManagerError
from .wire import Answer

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("lockmanager")

_SPLIT_PAUSE: Final = (0.001, 0.010)
"""Seconds, from and to, before a split try is repeated."""


class Run:
    """Drives one `Acquisition`."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine = engine
        self.acquisition = Acquisition(request, engine.links(request.nodes), engine.clock.now())
        self.outcome: asyncio.Future[Held | Failed] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.end_reason = ""
        self._on_lost: list[Callable[[], None]] = []
        self._renewal_watchers: dict[asyncio.Event, dict[str, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0

    @property
    def held(self) -> bool:
        """Whether the lock is held and its validity has not ended."""
        return self.acquisition.phase is Phase.HELD and self.remaining() > 0

    @property
    def over(self) -> bool:
        """Whether nothing is left to release."""
        return self.acquisition.phase is Phase.OVER

    def remaining(self) -> int:
        """Return how long the lease may still be relied on, in microseconds; 0 when it is over."""
        if self.acquisition.phase is not Phase.HELD:
            return 0
        return max(0, self.acquisition.validity - self.engine.clock.now())

    def begin(self) -> None:
        """Ask the nodes, now or as soon as enough of them are in reach."""
        self.engine.join(self)
        if not self.acquisition.request.patient:
            self._start()
        else:
            self._perform(self.acquisition.tick(self.engine.clock.now()))

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the event loop when the lease is lost; soon if it is lost already."""
        if self.lost.is_set():
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._on_lost.append(callback)

    async def renewed(self, ttl: int) -> None:
        """Renew now and wait until a majority has, or the lease is over; the caller sets a deadline."""
        before, changed = self.acquisition.renewals_answered(), asyncio.Event()
        self._renewal_watchers[changed] = before
        try:
            self.renew(ttl)
            self._tell_watchers()
            await changed.wait()
        finally:
            del self._renewal_watchers[changed]

    # Events

    def on_link(self, node: str, link: Link, cause: str) -> None:
        self._perform(self.acquisition.on_link(node, link, cause, self.engine.clock.now()))

    def on_answer(self, node: str, echo: int, answer: Answer) -> None:
        self._perform(self.acquisition.on_answer(node, echo, answer, self.engine.clock.now()))

    def renew(self, ttl: int | None = None) -> None:
        """Ask every node with a grant to extend it."""
        self._perform(self.acquisition.tick(self.engine.clock.now()))
        if self.acquisition.phase in (Phase.WAITING, Phase.HELD):
            self._perform(self.acquisition.renew(ttl))
            if ttl is not None:
                self.engine.reschedule(self)

    def notice_the_time(self) -> None:
        """End a lease whose time passed while this process stood still, before its timer does."""
        if self.acquisition.phase is Phase.HELD:
            self._perform(self.acquisition.tick(self.engine.clock.now()))

    def release(self, reason: str = "it was released") -> None:
        """End it everywhere, without waiting. Idempotent."""
        if self.acquisition.phase is not Phase.OVER:
            self.end_reason = self.end_reason or reason
            self._perform(self.acquisition.release())

    def abandon(self, reason: str) -> None:
        """End it everywhere because its owner goes away; a holder learns that its lease is lost."""
        held = self.acquisition.phase is Phase.HELD
        self.release(reason)
        if held:
            self._tell_lost(reason)
        elif not self.outcome.done():
            name = self.acquisition.request.name
            self.outcome.set_exception(LockManagerError(f"lock {name!r} was not acquired: {reason} while it waited"))

    # Carrying out

    def _start(self) -> None:
        token = self.engine.randomness.token()
        actions = self.acquisition.start(token, self.engine.clock.now())
        self.engine.enlist(self)
        self._perform(actions)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self._carry_out(action)
        if self._renewal_watchers:
            self._tell_watchers()
        if self.acquisition.phase is Phase.OVER:
            self._end()
        elif self.acquisition.wants_start() and self.acquisition.request.patient:
            self._start()
        else:
            self._arm()

    def _carry_out(self, action: Action) -> None:
        match action:
            case Send():
                self.engine.send(action.node, action.message, self.acquisition.longest_ttl)
            case Held():
                self._held(action)
            case Failed():
                self._settle(action)
            case Lost():
                self.end_reason = action.reason
                self._tell_lost(action.reason)
            case Apart():
                self.engine.strike(self)
                if action.split:
                    self._start_after_a_pause()

    def _tell_watchers(self) -> None:
        over = self.acquisition.phase is not Phase.HELD
        answered = self.acquisition.renewals_answered()
        for changed, before in self._renewal_watchers.items():
            renewed = sum(answered[node] > count for node, count in before.items())
            if over or renewed >= self.acquisition.ballot.majority:
                changed.set()

    def _held(self, held: Held) -> None:
        request = self.acquisition.request
        log.info("lease_acquired name=%r fence=%d ttl=%g", request.name, held.fence, seconds(request.ttl))
        self.engine.reschedule(self)
        self._settle(held)

    def _settle(self, outcome: Held | Failed) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def _tell_lost(self, reason: str) -> None:
        name, fence = self.acquisition.request.name, self.acquisition.fence
        log.warning("lease_lost name=%r fence=%d reason=%s", name, fence, reason)
        self.lost.set()
        callbacks, self._on_lost = self._on_lost, []
        for callback in callbacks:
            asyncio.get_running_loop().call_soon(callback)

    def _end(self) -> None:
        self.engine.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The one timer

    def _start_after_a_pause(self) -> None:
        low, high = _SPLIT_PAUSE
        pause = low + (high - low) * self.engine.randomness.jitter()
        self._cancel_timer()
        self._timer_at = 0
        self._timer = asyncio.get_running_loop().call_later(pause, self._on_pause_over)

    def _on_pause_over(self) -> None:
        self._timer = None
        if self.acquisition.phase is Phase.APART:
            self._start()

    def _arm(self) -> None:
        """Wake up when time alone decides something; waking early is harmless, so an earlier timer stays."""
        now = self.engine.clock.now()
        at = self.acquisition.next_wakeup(now)
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        self._cancel_timer()
        self._timer_at = at
        delay = max(0, at - now) / MICROSECONDS
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._perform(self.acquisition.tick(self.engine.clock.now()))
