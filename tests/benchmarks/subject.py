"""What is measured: one lock system with its servers and the best pattern of its own Python client.

A subject starts its servers by itself on free loopback ports, runs one workload at a time when it is asked, and stops
everything it started. Workloads are written once for clients of the event loop (`AsyncSubject`) and once for clients
that block in threads (`ThreadSubject`); a subject only says how to acquire and release. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Crowd:
    """What a crowd of workers did, each with a name of its own or all with one."""

    cycles: int = 0
    """Acquisitions that were released again."""
    elapsed: float = 0.0
    client_cpu: float = 0.0
    """CPU seconds of the client process, all of its threads."""
    server_cpu: float = 0.0
    """CPU seconds of all server processes together."""
    waits: list[float] = field(default_factory=list)
    """How long each acquisition took."""
    overtakings: int = 0
    """Acquisitions that were granted before one that had asked earlier."""


class Subject(Protocol):
    """One lock system under measurement."""

    name: str
    """What the table calls it: the system, how many servers, the client."""

    async def start(self) -> None:
        """Start the servers and connect; raises `Missing` where a program or a client library is not installed."""
        ...

    async def stop(self) -> None:
        """Stop everything that was started. Idempotent."""
        ...

    @property
    def pids(self) -> Sequence[int]:
        """The server processes, for their CPU time and memory."""
        ...

    async def alone(self, seconds: float) -> list[float]:
        """W1: one worker acquires and releases again and again; the duration of each cycle."""
        ...

    async def crowd(self, workers: int, seconds: float) -> Crowd:
        """W2: workers in one client process, each with its own name."""
        ...

    async def queue(self, workers: int, seconds: float) -> Crowd:
        """W3: workers that all want one name; each acquires, releases at once and asks again."""
        ...

    async def hand_over(self, waiters: int, times: int) -> list[float]:
        """W5: while `waiters` wait for one name its holder releases; from there to the next one's return of acquire."""
        ...

    async def strike(self, signal: int, workers: int, seconds: float) -> Strike:
        """W6: under the crowd, one server of several gets the signal after a third of the time."""
        ...


@dataclass(slots=True)
class Strike:
    """What a crowd did before, while and after one server was killed or stopped."""

    before: float = 0.0
    """Cycles per second before the signal."""
    after: float = 0.0
    """Cycles per second from one second after the signal on."""
    longest_stall: float = 0.0
    """The longest time after the signal in which no cycle of any worker ended."""
    failures: int = 0
    """Acquisitions that ended in an error."""


class Missing(Exception):
    """A program or a client library is not installed; the text names it."""
