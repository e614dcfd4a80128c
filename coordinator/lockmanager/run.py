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
from .actions import FIRST_TTL, Action, Apart, Failed, Held, Lost, Phase, Request, Send
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
        self.is_lost = False
        self.end_reason = ""
        self._lost: asyncio.Event | None = None
        self._on_lost: list[Callable[[], None]] = []
        self._renewal_watchers: dict[asyncio.Event, dict[str, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0

    @property
    def lost(self) -> asyncio.Event:
        """Set once the lease is lost; made for the first who asks, as most leases are released unasked."""
        if self._lost is None:
            self._lost = asyncio.Event()
            if self.is_lost:
                self._lost.set()
        return self._lost

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
        now = self.engine.clock.now()
        if self.acquisition.wants_start():
            self._start(now)
        else:
            self._perform(self.acquisition.tick(now), now)

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the event loop when the lease is lost; soon if it is lost already."""
        if self.is_lost:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._on_lost.append(callback)

    async def renewed(self, ttl: int) -> None:
        """Renew now and wait until a majority has, or the lease is over; the caller sets a deadline."""
        before, changed = self.acquisition.ballot.renewals_answered(), asyncio.Event()
        self._renewal_watchers[changed] = before
        try:
            self.renew(ttl)
            self._tell_watchers()
            await changed.wait()
        finally:
            del self._renewal_watchers[changed]

    # Events

    def on_link(self, node: str, link: Link, cause: str) -> None:
        now = self.engine.clock.now()
        self._perform(self.acquisition.on_link(node, link, cause, now), now)

    def on_answer(self, node: str, echo: int, answer: Answer) -> None:
        now = self.engine.clock.now()
        actions = self.acquisition.on_answer(node, echo, answer, now)
        if not self.acquisition.quiet or self._renewal_watchers:
            self._perform(actions, now)

    def renew(self, ttl: int | None = None) -> None:
        """Ask every node with a grant to extend it."""
        now = self.engine.clock.now()
        if self.acquisition.has_due(now):
            self._perform(self.acquisition.tick(now), now)
        if self.acquisition.phase in (Phase.WAITING, Phase.HELD):
            self._perform(self.acquisition.renew(ttl), now)
            if ttl is not None:
                self.engine.reschedule(self, now)

    def notice_the_time(self) -> None:
        """End a lease whose time passed while this process stood still, before its timer does."""
        now = self.engine.clock.now()
        if self.acquisition.phase is Phase.HELD and now >= self.acquisition.loss_at:
            self._perform(self.acquisition.tick(now), now)

    def release(self, reason: str = "it was released") -> None:
        """End it everywhere, without waiting. Idempotent."""
        if self.acquisition.phase is not Phase.OVER:
            self.end_reason = self.end_reason or reason
            self._perform(self.acquisition.release(), self.engine.clock.now())

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

    def _start(self, now: int) -> None:
        token = self.engine.randomness.token()
        actions = self.acquisition.start(token, now)
        self.engine.enlist(self, now)
        self._perform(actions, now)

    def _perform(self, actions: list[Action], now: int) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.engine.send(action.node, action.message, self.acquisition.longest_ttl, now)
            else:
                self._carry_out(action, now)
        if self._renewal_watchers:
            self._tell_watchers()
        phase = self.acquisition.phase
        if phase is Phase.OVER:
            self._end()
        elif phase is Phase.APART and self.acquisition.request.patient and self.acquisition.wants_start():
            self._start(now)
        else:
            self._arm(now)

    def _carry_out(self, action: Action, now: int) -> None:
        match action:
            case Held():
                self._held(action, now)
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
        answered = self.acquisition.ballot.renewals_answered()
        for changed, before in self._renewal_watchers.items():
            renewed = sum(answered[node] > count for node, count in before.items())
            if over or renewed >= self.acquisition.ballot.majority:
                changed.set()

    def _held(self, held: Held, now: int) -> None:
        request = self.acquisition.request
        if log.isEnabledFor(logging.INFO):
            log.info("lease_acquired name=%r fence=%d ttl=%g", request.name, held.fence, seconds(request.ttl))
        if request.ttl > FIRST_TTL:
            self.engine.reschedule(self, now)
        self._settle(held)

    def _settle(self, outcome: Held | Failed) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def _tell_lost(self, reason: str) -> None:
        name, fence = self.acquisition.request.name, self.acquisition.fence
        log.warning("lease_lost name=%r fence=%d reason=%s", name, fence, reason)
        self.is_lost = True
        if self._lost is not None:
            self._lost.set()
        callbacks, self._on_lost = self._on_lost, []
        for callback in callbacks:
            asyncio.get_running_loop().call_soon(callback)

    def _end(self) -> None:
        self.engine.leave(self)
        self._cancel_timer()

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
            self._start(self.engine.clock.now())

    def _arm(self, now: int) -> None:
        """Wake up when time alone decides something; waking early is harmless, so an earlier timer stays.

        The next renewal looks at everything again: what comes after it needs no timer, and most leases none at all.
        """
        at = self.acquisition.next_wakeup(now)
        if at is None or (self._timer is not None and self._timer_at <= at) or self.engine.renews_before(self, at):
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
        now = self.engine.clock.now()
        self._perform(self.acquisition.tick(now), now)
