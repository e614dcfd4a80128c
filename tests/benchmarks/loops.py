"""The workloads for clients of the event loop; a subject only says how it acquires and releases.

All workers are tasks of this process, as in the service a lock client lives in. Cycles count while a window is open
that the clock closes; what is under way then is finished, or given up, and does not count.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

from .counting import Line, settle_line, strike_from
from .processes import cpu_seconds
from .subject import Crowd, Strike

_NAMES_ALONE: Final = 50
_NAMES_IN_CROWD: Final = 4
_GRACE: Final = 5.0
"""Seconds workers may take to end what they are at when the window is closed."""

_HAND_OVER_DEADLINE: Final = 20.0
_PAUSE_AFTER_FAILURE: Final = 0.001


class AsyncSubject(ABC):
    """A lock system whose client is asyncio's.

    Sub-classes set `name`, and give `start`, `stop`, `pids`, `acquire` and `release`. `acquire` waits until the lock is
    granted, may be cancelled, and returns whatever `release` needs; both raise what their client raises.
    """

    name: str
    key: str = ""

    _calls = count(1)

    @abstractmethod
    async def start(self) -> None:
        """Start the servers and connect; raises `Missing` where a program or a client library is not installed."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop everything that was started. Idempotent."""

    @property
    @abstractmethod
    def pids(self) -> Sequence[int]:
        """The server processes."""

    @abstractmethod
    async def acquire(self, name: str) -> Any:
        """Wait until the lock is granted; returns the handle that releases it."""

    @abstractmethod
    async def release(self, handle: Any) -> None:
        """Release what `acquire` returned."""

    async def settle(self, newcomers: int) -> None:
        """Return when `newcomers` that have just asked stand in line at the servers; by default a time that is ample.

        A system whose line can be looked at, or that takes longer, overrides it.
        """
        await asyncio.sleep(0.05 + 0.0015 * newcomers)

    def victim(self) -> int:
        """Return the process that a strike hits."""
        return self.pids[-1]

    # Workloads

    async def alone(self, seconds: float) -> list[float]:
        """W1: one worker acquires and releases again and again."""
        durations: list[float] = []
        prefix = self._fresh("alone")
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            await self.release(await self.acquire(f"{prefix}/{len(durations) % _NAMES_ALONE}"))
            durations.append(time.perf_counter() - begin)
        return durations

    async def crowd(self, workers: int, seconds: float) -> Crowd:
        """W2: workers with names of their own, each a handful in turn."""
        found, window, prefix = Crowd(), _Window(), self._fresh("crowd")

        async def work(worker: int) -> None:
            names = [f"{prefix}/{worker}/{number}" for number in range(_NAMES_IN_CROWD)]
            for number in count():
                begin = time.perf_counter()
                handle = await self.acquire(names[number % _NAMES_IN_CROWD])
                granted = time.perf_counter()
                await self.release(handle)
                if not window.open:
                    return
                found.cycles += 1
                found.waits.append(granted - begin)

        async with _Workers(work(worker) for worker in range(workers)):
            await self._measure(found, window, seconds)
        return found

    async def queue(self, workers: int, seconds: float) -> Crowd:
        """W3: workers that all want one name; each releases at once and asks again."""
        found, window, line, name = Crowd(), _Window(), Line(), self._fresh("queue")

        async def work() -> None:
            while window.open:
                number = line.ask(time.perf_counter())
                handle = await self.acquire(name)
                if not window.open:
                    await self.release(handle)
                    return
                found.waits.append(line.granted(number, time.perf_counter()))
                await self.release(handle)
                found.cycles += window.open

        async with _Workers(work() for _ in range(workers)):
            await self._measure(found, window, seconds)
            settle_line(found, line, time.perf_counter())
        return found

    async def hand_over(self, waiters: int, times: int) -> list[float]:
        """W5: the holder releases, and the next of `waiters` becomes the holder; the line stays as long as it was."""
        name = self._fresh("hand_over")
        granted: asyncio.Queue[tuple[Any, float]] = asyncio.Queue()
        durations: list[float] = []

        async def wait_in_line() -> None:
            handle = await self.acquire(name)
            granted.put_nowait((handle, time.perf_counter()))

        holder = await self.acquire(name)
        async with _Workers(wait_in_line() for _ in range(waiters)) as line:
            await self.settle(waiters)
            for _ in range(times):
                begin = time.perf_counter()
                async with asyncio.timeout(_HAND_OVER_DEADLINE):
                    await self.release(holder)
                    holder, instant = await granted.get()
                durations.append(instant - begin)
                line.add(wait_in_line())
                await self.settle(1)
            line.give_up()
        await self.release(holder)
        while not granted.empty():  # granted just when it was given up
            await self.release(granted.get_nowait()[0])
        return durations

    async def strike(self, signal: int, workers: int, seconds: float) -> Strike:
        """W6: under the crowd one server gets the signal after a third of the time; then the subject is used up."""
        ends: list[float] = []
        failures, window, prefix = count(), _Window(), self._fresh("strike")
        victim = self.victim()

        async def work(worker: int) -> None:
            while window.open:
                try:
                    await self.release(await self.acquire(f"{prefix}/{worker}"))
                except Exception:  # noqa: BLE001  # whatever the client raises is a failure of this cycle
                    next(failures)
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE)
                else:
                    ends.append(time.perf_counter())

        try:
            begin = time.perf_counter()
            async with _Workers(work(worker) for worker in range(workers)) as crowd:
                await asyncio.sleep(seconds / 3)
                os.kill(victim, signal)
                struck = time.perf_counter()
                await asyncio.sleep(seconds * 2 / 3)
                end, window.open = time.perf_counter(), False
                crowd.give_up()
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signals.SIGKILL)
            await self.stop()
        return strike_from(begin, struck, end, ends, next(failures))

    # Inside

    def _fresh(self, workload: str) -> str:
        """Return a prefix of names no earlier workload used."""
        return f"{workload}/{next(self._calls)}"

    async def _measure(self, found: Crowd, window: _Window, seconds: float) -> None:
        """Let the workers run for a while, and note time and CPU."""
        server, client, begin = cpu_seconds(self.pids), time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        found.elapsed = time.perf_counter() - begin
        found.client_cpu = time.process_time() - client
        window.open = False
        found.server_cpu = cpu_seconds(self.pids) - server


class _Window:
    """Open while cycles count."""

    def __init__(self) -> None:
        self.open = True


class _Workers:
    """Tasks that begin on entry; on exit they end, within the grace or by cancellation, and an error is raised."""

    def __init__(self, work: Any) -> None:
        self._work: list[Coroutine[Any, Any, None]] = list(work)
        self._tasks: list[asyncio.Task[None]] = []
        self._given_up = False

    def add(self, work: Coroutine[Any, Any, None]) -> None:
        """Let one more begin."""
        self._tasks.append(asyncio.create_task(work))

    def give_up(self) -> None:
        """Cancel them all: those who wait leave the line."""
        self._given_up = True

    async def __aenter__(self) -> _Workers:
        for work in self._work:
            self.add(work)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self._given_up and self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE)
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
