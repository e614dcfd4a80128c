"""The three parts that lock: one worker, workers with names of their own, workers that all want one name.

All workers are tasks of this process, as in the service a lock client lives in. Cycles count while the part is open;
what is under way then is finished within a grace, or given up, and does not count. However a part ends, the locks it
asked for are released: whoever is cancelled while it waits leaves the line.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Coroutine, Iterable
from itertools import count
from typing import Any, Final

from ...coordinator import Coordinator
from .figures import Alone, Crowd, Line, Queue, Span, alone_from, crowd_from, queue_from
from .names import Names, ttl

PATIENCE: Final = 5.0
"""Seconds the nodes may take to grant the first lock of a part, which nobody else wants."""

_GRACE: Final = 2.0
"""Seconds workers may take to end what they are at when a part is over."""


class Workloads:
    """Measures with one open coordinator; each part takes `seconds`."""

    def __init__(self, coordinator: Coordinator, names: Names, seconds: float) -> None:
        self._coordinator = coordinator
        self._names = names
        self._seconds = seconds
        self._ttl = ttl(coordinator.engine.cluster.limits)
        self._open = False

    async def alone(self) -> Alone:
        """Let one worker acquire and release again and again; raises what `Coordinator.lock` documents."""
        durations: list[float] = []

        async def work() -> None:
            while self._open:
                begin = time.perf_counter()
                await self._cycle(self._names.alone(len(durations)))
                if self._open:
                    durations.append(time.perf_counter() - begin)

        await self._warm_up("alone")
        async with _Crew([work()]) as crew:
            await self._measure(crew)
            await crew.finish()
        return alone_from(durations)

    async def crowd(self, workers: int) -> Crowd:
        """Let each worker acquire and release names of its own, a handful in turn; raises as `alone`."""
        cycles = 0

        async def work(worker: int) -> None:
            nonlocal cycles
            for number in count():
                await self._cycle(self._names.crowd(worker, number))
                if not self._open:
                    return
                cycles += 1

        await self._warm_up("crowd")
        async with _Crew(work(worker) for worker in range(workers)) as crew:
            span = await self._measure(crew)
            await crew.finish()
        return crowd_from(cycles, span)

    async def queue(self, workers: int) -> Queue:
        """Let workers that all want one name release it at once and ask again; raises as `alone`."""
        hand_overs, line, name = 0, Line(), self._names.queue

        async def work() -> None:
            nonlocal hand_overs
            while self._open:
                number = line.ask(time.perf_counter())
                lease = await self._coordinator.acquire(name, ttl=self._ttl)
                if self._open:
                    line.granted(number, time.perf_counter())
                await lease.release()
                hand_overs += self._open

        await self._warm_up("queue")
        async with _Crew(work() for _ in range(workers)) as crew:
            span = await self._measure(crew)
            line.settle(time.perf_counter())
        # The parts before are checked by the next one's warm-up; nodes that went away in this one are an error, too.
        await self._warm_up("queue")
        return queue_from(hand_overs, line, span)

    async def _cycle(self, name: str, wait: float | None = None) -> None:
        # No wait of its own: a timer for each lock would be measured, too. The part's end cancels it.
        lease = await self._coordinator.acquire(name, ttl=self._ttl, wait=wait)
        await lease.release()

    async def _warm_up(self, part: str) -> None:
        """Lock once within the patience: sessions come up, and nodes that do not answer are an error."""
        await self._cycle(self._names.warm_up(part), wait=PATIENCE)
        gc.collect()

    async def _measure(self, crew: _Crew) -> Span:
        self._open = True
        cpu, begin = time.process_time(), time.perf_counter()
        try:
            await crew.failure(within=self._seconds)
        finally:
            self._open = False
        return Span(time.perf_counter() - begin, time.process_time() - cpu)


class _Crew:
    """Tasks that begin on entry; on exit they are cancelled, have ended, and the first error of one is raised."""

    def __init__(self, work: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._tasks: list[asyncio.Task[None]] = []

    async def failure(self, *, within: float) -> None:
        """Return after that many seconds, or as soon as one fails."""
        await asyncio.wait(self._tasks, timeout=within, return_when=asyncio.FIRST_EXCEPTION)

    async def finish(self) -> None:
        """Let all end what they are at, within the grace."""
        await self.failure(within=_GRACE)

    async def __aenter__(self) -> _Crew:
        self._tasks = [asyncio.create_task(work) for work in self._work]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
