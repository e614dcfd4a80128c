"""The workloads for clients of the event loop, run on locks inside this process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.benchmarks.loops import AsyncSubject

SECONDS = 0.05


class Fair(AsyncSubject):
    """A lock server inside this process that serves whoever came first."""

    name = "fair"
    serves = 0
    """Which of the waiters is next."""

    def __init__(self) -> None:
        self.lines: dict[str, list[asyncio.Future[None]]] = {}
        self.held: set[str] = set()
        self.servers: list[int] = []
        self.stopped = False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    @property
    def pids(self) -> Sequence[int]:
        return self.servers

    async def settle(self, newcomers: int) -> None:
        await asyncio.sleep(0 * newcomers)

    async def acquire(self, name: str) -> str:
        await asyncio.sleep(0)
        if name not in self.held:
            self.held.add(name)
            return name
        granted = asyncio.get_running_loop().create_future()
        line = self.lines.setdefault(name, [])
        line.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted in line:
                line.remove(granted)
            raise
        return name

    async def release(self, handle: str) -> None:
        await asyncio.sleep(0)
        line = self.lines.get(handle)
        if line:
            line.pop(self.serves).set_result(None)
        else:
            self.held.remove(handle)


class Unfair(Fair):
    """Serves whoever came last."""

    name = "unfair"
    serves = -1


class Failing(Fair):
    """Grants a few times and then never again."""

    async def acquire(self, name: str) -> str:
        handle = await super().acquire(name)
        if len(self.held) > 2:
            raise ConnectionError("the server is gone")
        return handle


async def test_one_worker_leaves_nothing_held() -> None:
    subject = Fair()
    durations = await subject.alone(SECONDS)
    assert len(durations) > 10
    assert subject.held == set()


async def test_every_worker_of_a_crowd_has_names_of_its_own() -> None:
    subject = Fair()
    crowd = await subject.crowd(10, SECONDS)
    assert crowd.cycles == len(crowd.waits) > 10
    assert crowd.elapsed >= SECONDS
    assert subject.lines == {}
    assert subject.held == set()


async def test_a_fair_line_has_no_overtakings() -> None:
    subject = Fair()
    crowd = await subject.queue(10, SECONDS)
    assert crowd.cycles > 10
    assert crowd.overtakings == 0
    assert subject.held == set()


async def test_an_unfair_line_is_found_out_and_so_is_who_starves_in_it() -> None:
    crowd = await Unfair().queue(10, SECONDS)
    assert crowd.overtakings > 10
    assert max(crowd.waits) > SECONDS / 2


@pytest.mark.parametrize("waiters", [1, 10])
async def test_hand_overs_are_as_many_as_asked_for_and_the_line_is_left_empty(waiters: int) -> None:
    subject = Fair()
    durations = await subject.hand_over(waiters, 5)
    assert len(durations) == 5
    assert not any(subject.lines.values())
    assert subject.held == set()


async def test_an_error_of_a_worker_is_an_error_of_the_workload() -> None:
    with pytest.raises(ConnectionError):
        await Failing().crowd(10, SECONDS)


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until its input ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


async def test_a_strike_hits_a_server_counts_failures_and_uses_the_subject_up(server: subprocess.Popen[bytes]) -> None:
    subject = Failing()
    subject.servers = [os.getpid(), server.pid]
    found = await subject.strike(signal.SIGSTOP, 10, 3 * SECONDS)
    assert server.wait(10) == -signal.SIGKILL
    assert subject.stopped
    assert found.failures >= 10
