"""The workloads for clients that block: one thread and one connection per worker, all in this process."""

from __future__ import annotations

import asyncio
import os
import queue
import signal as signals
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Final

from .counting import Line, settle_line, strike_from
from .processes import cpu_seconds
from .subject import Crowd, Strike

_NAMES_ALONE: Final = 50
_NAMES_IN_CROWD: Final = 4
_DEADLINE: Final = 60.0
_PAUSE_AFTER_FAILURE: Final = 0.001
_END: Final = 5.0
"""Seconds threads may take to end once their connections are severed."""

_SETTLE: Final = 0.05


class ThreadSubject(ABC):
    """A lock system whose client blocks; sub-classes say how to start, stop, connect, acquire and release."""

    name: str
    key: str = ""

    _calls = count(1)

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connections: list[Any] = []
        self._busy: dict[int, int] = {}
        """The file descriptors of connections at work: a busy connection may not be asked for it by another thread."""

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
        """Return a new connection for one thread; it has `fileno` and `close`."""

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
            with suppress(Exception):  # a server that is gone closes nothing
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
        waits = [list[float]() for _ in range(workers)]

        def worker_of(number: int) -> Callable[[Any], None]:
            names = [f"{prefix}/{number}/{one}" for one in range(_NAMES_IN_CROWD)]

            def work(connection: Any) -> None:
                while self._open:
                    name = names[len(waits[number]) % _NAMES_IN_CROWD]
                    begin = time.perf_counter()
                    self.acquire(connection, name)
                    granted = time.perf_counter()
                    self.release(connection, name)
                    if self._open:
                        waits[number].append(granted - begin)

            return work

        await self._measure(found, [worker_of(number) for number in range(workers)], seconds, self._close)
        found.waits = [wait for one in waits for wait in one]
        found.cycles = len(found.waits)
        return found

    async def queue(self, workers: int, seconds: float) -> Crowd:
        """W3: workers that all want one name; each releases at once and asks again."""
        found, line, lock, name = Crowd(), Line(), threading.Lock(), self._fresh("queue")

        def work(connection: Any) -> None:
            while self._open:
                with lock:
                    number = line.ask(time.perf_counter())
                self.acquire(connection, name)
                with lock:
                    if self._open:
                        found.waits.append(line.granted(number, time.perf_counter()))
                self.release(connection, name)
                with lock:
                    found.cycles += self._open

        def close() -> None:
            with lock:  # whoever waits now counts as far as it got
                self._open = False
                settle_line(found, line, time.perf_counter())

        await self._measure(found, [work] * workers, seconds, close)
        return found

    async def hand_over(self, waiters: int, times: int) -> list[float]:
        """W5: the holder releases, and the next of `waiters` becomes the holder; the line stays as long as it was.

        Who has released asks again. The clock starts in the thread that releases, once it runs.
        """
        name = self._fresh("hand_over")
        durations: list[float] = []
        granted: queue.SimpleQueue[float] = queue.SimpleQueue()
        asking: queue.SimpleQueue[None] = queue.SimpleQueue()
        turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        begun = 0.0

        def wait_in_line(connection: Any) -> None:
            nonlocal begun
            while self._open:
                asking.put(None)
                self.acquire(connection, name)
                if self._open:
                    granted.put(time.perf_counter())
                    turns.get(timeout=_DEADLINE)
                begun = time.perf_counter()
                self.release(connection, name)

        def lead() -> None:
            for _ in range(waiters + 1):
                asking.get(timeout=_DEADLINE)
            granted.get(timeout=_DEADLINE)
            time.sleep(_SETTLE + 0.0015 * waiters)
            for _ in range(times):
                turns.put(None)
                durations.append(granted.get(timeout=_DEADLINE) - begun)
                asking.get(timeout=_DEADLINE)
                time.sleep(_SETTLE)

        async with self._threads([wait_in_line] * (waiters + 1)) as go:
            go.set()
            try:
                await asyncio.to_thread(lead)
            finally:
                self._close()
                turns.put(None)
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

        try:
            async with self._threads([worker_of(number) for number in range(workers)]) as go:
                go.set()
                begin = time.perf_counter()
                await asyncio.sleep(seconds / 3)
                os.kill(victim, signal)
                struck = time.perf_counter()
                await asyncio.sleep(seconds * 2 / 3)
                end = time.perf_counter()
                self._close()
                with suppress(ProcessLookupError):
                    os.kill(victim, signals.SIGKILL)
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signals.SIGKILL)
            await self.stop()
        return strike_from(begin, struck, end, sorted(ends), next(failures))

    # Inside

    _open = False

    def _fresh(self, workload: str) -> str:
        """Return a prefix of names no earlier workload used."""
        return f"{workload}/{next(self._calls)}"

    def _close(self) -> None:
        self._open = False

    async def _measure(
        self, found: Crowd, works: Sequence[Callable[[Any], None]], seconds: float, close: Callable[[], None]
    ) -> None:
        """Let the workers run for a while, and note time and CPU."""
        async with self._threads(works) as go:
            # read before they begin: among a hundred busy threads it takes a second, in which cycles would count
            server, client, begin = cpu_seconds(self.pids), time.process_time(), time.perf_counter()
            go.set()
            await asyncio.sleep(seconds)
            close()
            found.elapsed = time.perf_counter() - begin
            found.client_cpu = time.process_time() - client
            found.server_cpu = cpu_seconds(self.pids) - server

    async def _in_threads(self, works: Sequence[Callable[[Any], None]]) -> None:
        async with self._threads(works) as go:
            go.set()

    @asynccontextmanager
    async def _threads(self, works: Sequence[Callable[[Any], None]]) -> AsyncIterator[threading.Event]:
        """Run each in a thread with a connection; once all have one the block is entered, and lets them go.

        On exit they are waited for. Whatever goes wrong, here or in one of them, is raised, after their connections
        were severed: a thread that waits for a lock must not outlive the workload.
        """
        loop, go, absent = asyncio.get_running_loop(), threading.Event(), count(len(works) - 1, -1)
        ready, ended, at_work = loop.create_future(), threading.Event(), count(len(works) - 1, -1)

        def run(work: Callable[[Any], None]) -> None:
            try:
                connection = self._take()
                if next(absent) == 0:
                    loop.call_soon_threadsafe(ready.set_result, None)
                go.wait(_DEADLINE)
                work(connection)
                if self._busy.pop(id(connection), None) is not None:  # not severed
                    self._idle.put(connection)
            finally:
                if next(at_work) == 0:
                    ended.set()

        self._open = True
        pool = ThreadPoolExecutor(len(works))
        tasks = [asyncio.ensure_future(loop.run_in_executor(pool, run, work)) for work in works]
        try:
            async with asyncio.timeout(_DEADLINE):
                await asyncio.wait([ready, *tasks], return_when=asyncio.FIRST_COMPLETED)
            yield go
            async with asyncio.timeout(_DEADLINE):
                await asyncio.gather(*tasks)
        except BaseException as error:  # noqa: BLE001  # it is raised again, or what caused it
            self._open = False
            go.set()
            self._sever()
            await asyncio.to_thread(ended.wait, _END)
            raise _first_of(tasks, error) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> Any:
        """Return a connection that an earlier workload has left, or a new one."""
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self.connect()
            self._connections.append(connection)
        self._busy[id(connection)] = connection.fileno()
        return connection

    def _sever(self) -> None:
        """Shut down the connections of threads at work: whoever waits for an answer gets an error."""
        busy, self._busy = self._busy, {}
        for number in busy.values():
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as end:
                end.shutdown(socket.SHUT_RDWR)


def _first_of(tasks: Sequence[asyncio.Future[None]], error: BaseException) -> BaseException:
    """Return what is to be raised: the error itself, unless it only says that a thread did not come or go in time."""
    if not isinstance(error, TimeoutError | queue.Empty):
        return error
    failed = (task.exception() for task in tasks if task.done() and not task.cancelled())
    return next((one for one in failed if isinstance(one, Exception)), error)
