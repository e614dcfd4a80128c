"""Virtual time, and processes that live in it: each with an event loop and a clock of its own, none with a thread.

One `Scheduler` holds the true time and everything that will happen. A `Process` runs an asyncio loop whose time is the
process's own clock, at its own rate; it can be paused, suspended and killed. Nothing here knows of locks.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context
from itertools import count
from math import ceil
from typing import Any, Final

MICROSECONDS: Final = 1_000_000
NEVER: Final = 1 << 62
WALL: Final = 1_700_000_000_000_000

SLOWEST, FASTEST = 1 - 0.01 / 1.99, 1 + 0.01 / 1.99
"""The rates of clocks that differ by exactly what is allowed: the slowest shows 99 where the fastest shows 100."""

_TURNS_AT_ONCE: Final = 5_000
_TURNS_TO_DIE: Final = 200


class Stuck(AssertionError):
    """A process does something over and over without time passing."""


class Scheduler:
    """The true time in microseconds, and what will happen when. What is planned for one instant happens in order."""

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, instant: int, what: Callable[[], None]) -> None:
        """Let something happen at an instant, at once if that has passed."""
        if instant < self.now:
            instant = self.now
        heapq.heappush(self._planned, (instant, next(self._order), what))

    def after(self, delay: int, what: Callable[[], None]) -> None:
        """Let something happen after a delay."""
        self.at(self.now + delay, what)

    def run(self, until: int, *, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen up to an instant, or until `done`."""
        planned, next_of = self._planned, heapq.heappop
        while planned and planned[0][0] <= until:
            if done is not None and done():
                return
            self.now, _, what = next_of(planned)
            self.events += 1
            what()
        if done is None or not done():
            self.now = max(self.now, until)


class SimClock:
    """One machine's clocks: a steady one that runs at `rate`, and a wall clock that may jump and drift."""

    def __init__(self, scheduler: Scheduler, *, base: int, rate: float = 1.0, wall_ahead: int = 0) -> None:
        self._scheduler = scheduler
        self._base = base
        self.rate = rate
        self.wall_ahead = wall_ahead
        self.wall_drift = 0.0

    def now(self) -> int:
        now, rate = self._scheduler.now, self.rate
        return self._base + (now if rate == 1.0 else int(now * rate))

    def wall(self) -> int:
        return WALL + self._scheduler.now + self.wall_ahead + int(self._scheduler.now * self.wall_drift)

    def true(self, instant: int) -> int:
        """Return the true time at which this clock shows `instant`."""
        return ceil((instant - self._base) / self.rate)

    def boot(self, shows: int) -> None:
        """Start over: from now on the steady clock counts from `shows`."""
        self._base = shows - int(self._scheduler.now * self.rate)


class _NoSelector:
    """Nothing ever arrives but what other processes post."""

    def select(self, _timeout: float | None) -> tuple[()]:
        return ()


class ProcessLoop(asyncio.BaseEventLoop):
    """An event loop that is run turn by turn, and whose time is its process's."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._selector = _NoSelector()
        self._process = process
        self.time = process.monotonic  # type: ignore[method-assign]  # asked for so often that each call counts
        self.set_exception_handler(process.on_error)

    # As those of the base class, less its checks: a run consists of them.

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def get_debug(self) -> bool:
        return False

    def _process_events(self, _events: object) -> None:
        pass

    def _write_to_self(self) -> None:
        self._process.wake()

    def turn(self) -> None:
        """Run what is due and ready now, once; what that makes ready is for the next turn."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if timers:
            due = self.time() + 1e-9
            while timers and timers[0]._when < due:  # type: ignore[attr-defined]
                timer = heapq.heappop(timers)
                timer._scheduled = False  # type: ignore[attr-defined]
                ready.append(timer)
        next_of = ready.popleft
        for _ in range(len(ready)):
            handle = next_of()
            if not handle._cancelled:
                handle._run()

    def next_timer(self) -> float | None:
        """Return when the next timer is due, on this loop's time."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]
        return timers[0].when() if timers else None

    def timers(self) -> int:
        """Return how many timers wait that nobody cancelled."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return sum(not timer.cancelled() for timer in timers)

    @property
    def has_ready(self) -> bool:
        """Whether something can run now."""
        return bool(self._ready)  # type: ignore[attr-defined]


class Process:
    """A process on a machine: runs when something is posted to it or a timer is due, unless it is paused or dead."""

    def __init__(
        self,
        scheduler: Scheduler,
        clock: SimClock,
        *,
        after_turn: Callable[[], None],
        on_error: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None],
    ) -> None:
        self.clock = clock
        self.alive = True
        self.paused_until = 0
        self.on_error = on_error
        self._scheduler = scheduler
        self._after_turn = after_turn
        self._suspended = 0
        self._wakes_at = NEVER
        self.loop = ProcessLoop(self)

    def monotonic(self) -> float:
        """Return the time of the loop in seconds: it does not count suspends, as CLOCK_MONOTONIC."""
        return (self.clock.now() - self._suspended) / MICROSECONDS

    def post(self, what: Callable[..., object], *arguments: object) -> None:
        """Let the process do something as soon as it runs."""
        if self.alive:
            self.loop.call_soon(what, *arguments)
            self.wake()

    def pause(self, duration: int) -> None:
        """Let it stand still, with both its clocks going on."""
        self.paused_until = max(self.paused_until, self._scheduler.now + duration)

    def suspend(self, duration: int) -> None:
        """Let its machine sleep: the steady clock goes on, the time of the loop does not."""
        stands_still = max(self.paused_until, self._scheduler.now)
        self.pause(duration)
        self._suspended += int((max(self.paused_until, stands_still) - stands_still) * self.clock.rate)

    def wake(self) -> None:
        """Run as soon as possible."""
        self._want(self._scheduler.now)

    def kill(self) -> None:
        """End it as SIGKILL would; what its tasks do while they are taken apart reaches nobody."""
        if not self.alive:
            return
        self.alive = False
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        for _ in range(_TURNS_TO_DIE):
            self._one_turn()
            if not self.loop.has_ready:
                if not asyncio.all_tasks(self.loop):
                    break
                self._suspended -= MICROSECONDS  # its loop's time runs on, so that clean-up need not wait
        self.loop.close()

    def _want(self, instant: int) -> None:
        if instant < self.paused_until:
            instant = self.paused_until
        if instant < self._wakes_at and self.alive:
            self._wakes_at = instant
            self._scheduler.at(instant, self._on_wake)

    def _on_wake(self) -> None:
        if not self.alive or self._wakes_at != self._scheduler.now:
            return
        self._wakes_at = NEVER
        if self.paused_until <= self._scheduler.now:
            self._run_turns()
        self._want_next()

    def _run_turns(self) -> None:
        loop, ready = self.loop, self.loop._ready  # type: ignore[attr-defined]
        events._set_running_loop(loop)
        try:
            for _ in range(_TURNS_AT_ONCE):
                loop.turn()
                self._after_turn()
                if not ready or not self.alive or self.paused_until > self._scheduler.now:
                    return
        finally:
            events._set_running_loop(None)
        raise Stuck("a process runs turn after turn at one instant")

    def _one_turn(self) -> None:
        running = events._get_running_loop()
        events._set_running_loop(self.loop)
        try:
            self.loop.turn()
        finally:
            events._set_running_loop(running)

    def _want_next(self) -> None:
        if not self.alive:
            return
        now = self._scheduler.now
        if self.loop.has_ready:
            self._want(now)
        elif (timer := self.loop.next_timer()) is not None:
            due = self.clock.true(round(timer * MICROSECONDS) + self._suspended)
            self._want(due if due > now else now + 1)
