"""The workloads for clients that block: one thread and one connection per worker, all in this process."""

from __future__ import annotations

import asyncio
import os
import queue
import signal as signals
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any, Final

from .counting import Line, settle_line, strike_from
from .processes import cpu_seconds
from .subject import Crowd, Strike

_NAMES_ALONE: Final = 50
_NAMES_IN_CROWD: Final = 4
_DEADLINE: Final = 60.0
_PAUSE_AFTER_FAILURE: Final = 0.001


class ThreadSubject(ABC):
    """A lock system whose client blocks; sub-classes say how to start, stop, connect, acquire and release."""

    name: str
    key: str = ""

    _calls = count(1)

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connections: list[Any] = []

    @abstractmethod
    async def start(self) -> None:
        """Start the servers; raises `Missing` where a program or a client library is not installed."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop everything that was started. Idempotent."""

    @property
    @abstractmethod
    def pids(self) -> Sequence[int]:
        """The server processes."""

    @abstractmethod
    def connect(self) -> Any:
        """Return a new connection for one thread."""

    @abstractmethod
    def acquire(self, connection: Any, name: str) -> None:
        """Wait until the lock is granted."""

    @abstractmethod
    def release(self, connection: Any, name: str) -> None:
        """Release what this connection holds."""

    def victim(self) -> int:
        """Return the process that a strike hits."""
        return self.pids[-1]

    async def close_connections(self) -> None:
        """Close what threads used; called by `stop`."""
        connections, self._connections = self._connections, []
        self._idle = queue.SimpleQueue()
        for connection in connections:
            with suppress(Exception):
                connection.close()

    # Workloads

    async def alone(self, seconds: float) -> list[float]:
        """W1: one worker acquires and releases again and again."""
        durations: list[float] = []
        prefix = self._fresh("alone")

        def work(connection: Any) -> None:
            end = time.perf_counter() + seconds
            while (begin := time.perf_counter()) < end:
                name = f"{prefix}/{len(durations) % _NAMES_ALONE}"
                self.acquire(connection, name)
                self.release(connection, name)
                durations.append(time.perf_counter() - begin)

        await self._in_threads([work])
        return durations

    async def crowd(self, workers: int, seconds: float) -> Crowd:
        """W2: workers with names of their own, each a handful in turn."""
        found, prefix = Crowd(), self._fresh("crowd")
        counts, waits = [0] * workers, [list[float]() for _ in range(workers)]

        def worker_of(number: int) -> Callable[[Any], None]:
            names = [f"{prefix}/{number}/{one}" for one in range(_NAMES_IN_CROWD)]

            def work(connection: Any) -> None:
                while self._open:
                    begin = time.perf_counter()
                    name = names[counts[number] % _NAMES_IN_CROWD]
                    self.acquire(connection, name)
                    waits[number].append(time.perf_counter() - begin)
                    self.release(connection, name)
                    counts[number] += self._open

            return work

        await self._measure(found, [worker_of(number) for number in range(workers)], seconds, lambda: sum(counts))
        found.waits = [wait for one in waits for wait in one]
        return found

    async def queue(self, workers: int, seconds: float) -> Crowd:
        """W3: workers that all want one name; each releases at once and asks again."""
        found, line, lock, name = Crowd(), Line(), threading.Lock(), self._fresh("queue")
        served = [0]

        def work(connection: Any) -> None:
            while self._open:
                with lock:
                    number = line.ask(time.perf_counter())
                self.acquire(connection, name)
                with lock:
                    wait = line.granted(number, time.perf_counter())
                    if self._open:
                        found.waits.append(wait)
                        served[0] += 1
                self.release(connection, name)

        await self._measure(found, [work] * workers, seconds, lambda: served[0])
        settle_line(found, line, time.perf_counter())
        return found

    async def hand_over(self, waiters: int, times: int) -> list[float]:
        """W5: the holder releases, and the next of `waiters` becomes the holder; the line stays as long as it was."""
        name = self._fresh("hand_over")
        durations: list[float] = []
        granted: queue.SimpleQueue[float] = queue.SimpleQueue()
        turns = [threading.Event() for _ in range(times)]
        turn = count()

        def wait_in_line(connection: Any) -> None:
            self.acquire(connection, name)
            granted.put(time.perf_counter())
            number = next(turn)
            if number < times:
                turns[number].wait(_DEADLINE)
            self.release(connection, name)

        def lead(connection: Any) -> None:
            self.acquire(connection, name)
            time.sleep(0.2 + 0.002 * waiters)  # until all stand in line
            begin = time.perf_counter()
            self.release(connection, name)
            for number in range(times):
                durations.append(granted.get(timeout=_DEADLINE) - begin)
                time.sleep(0.01)
                begin = time.perf_counter()
                turns[number].set()

        leading = asyncio.create_task(self._in_threads([lead]))
        await asyncio.sleep(0.1)
        await self._in_threads([wait_in_line] * (waiters + times))
        await leading
        return durations

    async def strike(self, signal: int, workers: int, seconds: float) -> Strike:
        """W6: under the crowd one server gets the signal after a third of the time; then the subject is used up."""
        ends: list[float] = []
        failures, prefix, victim = count(), self._fresh("strike"), self.victim()

        def worker_of(number: int) -> Callable[[Any], None]:
            def work(connection: Any) -> None:
                while self._open:
                    try:
                        self.acquire(connection, f"{prefix}/{number}")
                        self.release(connection, f"{prefix}/{number}")
                    except Exception:  # noqa: BLE001  # whatever the client raises is a failure of this cycle
                        next(failures)
                        time.sleep(_PAUSE_AFTER_FAILURE)
                    else:
                        ends.append(time.perf_counter())

            return work

        self._open = True
        begin = time.perf_counter()
        working = asyncio.create_task(self._in_threads([worker_of(number) for number in range(workers)]))
        try:
            await asyncio.sleep(seconds / 3)
            os.kill(victim, signal)
            struck = time.perf_counter()
            await asyncio.sleep(seconds * 2 / 3)
            end, self._open = time.perf_counter(), False
        finally:
            self._open = False
            with suppress(ProcessLookupError):
                os.kill(victim, signals.SIGKILL)
            await asyncio.wait([working], timeout=_DEADLINE)
            await self.stop()
        return strike_from(begin, struck, end, sorted(ends), next(failures))

    # Inside

    _open = False

    def _fresh(self, workload: str) -> str:
        """Return a prefix of names no earlier workload used."""
        return f"{workload}/{next(self._calls)}"

    async def _measure(
        self, found: Crowd, works: Sequence[Callable[[Any], None]], seconds: float, cycles: Callable[[], int]
    ) -> None:
        """Let the workers run for a while, and note time, CPU and cycles."""
        self._open = True
        working = asyncio.create_task(self._in_threads(works))
        await asyncio.sleep(0.3)  # until every thread has its connection
        before, server, client = cycles(), cpu_seconds(self.pids), time.process_time()
        begin = time.perf_counter()
        await asyncio.sleep(seconds)
        found.elapsed = time.perf_counter() - begin
        found.cycles = cycles() - before
        found.client_cpu = time.process_time() - client
        found.server_cpu = cpu_seconds(self.pids) - server
        self._open = False
        await working

    async def _in_threads(self, works: Sequence[Callable[[Any], None]]) -> None:
        """Run each in a thread with a connection, which is kept for the next workload; raises what one of them did."""

        def run(work: Callable[[Any], None]) -> None:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self.connect()
                self._connections.append(connection)
            work(connection)
            self._idle.put(connection)

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(len(works)) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, run, work) for work in works))
