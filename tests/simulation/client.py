"""One simulated client: a process with a real coordinator, and workers that acquire, use, renew and release.

What a worker does is drawn from its client's chance; every error it may meet is expected here by name, and any other is
a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from lockmanager import Cluster, Coordinator, Lease
from lockmanager.engine import Engine
from lockmanager.errors import LeaseLost, LockManagerError, NotAcquired, QuorumUnavailable
from lockmanager.transport import Connection
from lockmanager.wire import Token, token_from
from tests.simulation.clockwork import MICROSECONDS, Process, Scheduler, SimClock
from tests.simulation.network import Connection as SimConnection
from tests.simulation.network import Network
from tests.simulation.node import SimNode
from tests.simulation.resource import Resource

_BURST: Final = 8
_OPERATIONS: Final = 10
_PAUSE: Final = MICROSECONDS // 10

EXPECTED: Final = (NotAcquired, QuorumUnavailable, LeaseLost)
"""What a worker may meet when nodes are away, the lock is held, or its lease ends."""


class Watch(Protocol):
    """Who looks at clients."""

    def client_turned(self, client: SimClient) -> None:
        """Look at the client after each turn of its loop."""
        ...

    def client_sends(self, client: SimClient, node: str, data: bytes) -> None:
        """Learn what leaves."""
        ...

    def client_dies(self, client: SimClient) -> None:
        """Learn that its acquisitions are nobody's any more."""
        ...

    def wrote(self, name: str, seen: int, fence: int, *, accepted: bool) -> None:
        """Learn what became of a write of a holder."""
        ...

    def went_wrong(self, where: str, what: str) -> None:
        """Take a fault nobody expected."""
        ...


class Randomness:
    """Tokens and jitter of one coordinator; remembers its tokens."""

    def __init__(self, chance: Random) -> None:
        self.tokens: set[Token] = set()
        self._chance = chance

    def token(self) -> Token:
        token = token_from(self._chance.randbytes(64))
        self.tokens.add(token)
        return token

    def jitter(self) -> float:
        return self._chance.random()


class Habits:
    """What the workers of a run like to do; drawn once. Times in seconds."""

    def __init__(self, chance: Random) -> None:
        self.names = [f"lock {number}" for number in range(chance.choice([1, 1, 2, 3]))]
        self.ttls = chance.choice([(0.5, 1.0), (1.0, 2.0), (2.0, 10.0), (1.0, 45.0)])
        self.waits: tuple[float | None, ...] = chance.choice([(None,), (None, 5.0), (0.0, 0.5, 3.0, None), (0.0, 30.0)])
        self.shared = chance.choice([0.0, 0.0, 0.3, 0.7])
        self.holds = chance.choice([(0.0, 0.05), (0.0, 1.0), (0.5, 4.0)])
        self.thinks = chance.choice([(0.0, 0.3), (0.1, 1.0), (0.5, 3.0)])
        self.renews = chance.choice([0.0, 0.2])
        self.efficiency = chance.choice([0.0, 0.0, 0.2])
        self.signals = chance.choice([0.0, 0.5])
        self.bursts = chance.choice([0.1, 0.5])

    def take_it_easy(self, chance: Random) -> None:
        """Spread the work over minutes: some hold for long, some come rarely."""
        self.thinks = (1.0, 12.0)
        self.holds = chance.choice([(0.0, 2.0), (1.0, 30.0)])


class SimClient:
    """A client that can be paused, killed and started again. `workers` of it work at once."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        scheduler: Scheduler,
        network: Network,
        clock: SimClock,
        *,
        chance: Random,
        habits: Habits,
        nodes: dict[str, SimNode],
        resource: Resource,
        watch: Watch,
        workers: int,
    ) -> None:
        self.name = name
        self.clock = clock
        self.chance = chance
        self.process: Process
        self.coordinator: Coordinator | None = None
        self.connections: dict[str, SimConnection] = {}
        self.operations: list[asyncio.Task[None]] = []
        self.works = True
        self.done: dict[str, int] = {}
        self._cluster, self._scheduler, self._network = cluster, scheduler, network
        self._habits, self._nodes, self._resource, self._watch = habits, nodes, resource, watch
        self.workers = workers
        self.tokens: set[Token] = set()
        self._closes: asyncio.Event

    @property
    def engine(self) -> Engine | None:
        """The engine of the open coordinator."""
        return None if self.coordinator is None else self.coordinator._engine

    def tasks(self) -> int:
        """Return how many tasks its process has."""
        return len(asyncio.all_tasks(self.process.loop))

    # Life

    def start(self) -> None:
        """Begin a process."""
        self.process = Process(self._scheduler, self.clock, after_turn=self._after_turn, on_error=self._on_error)
        self.operations = []
        self.connections = {}
        self.process.post(lambda: asyncio.ensure_future(self._main()))

    def kill(self) -> None:
        """End the process as SIGKILL would."""
        self._watch.client_dies(self)
        self.process.kill()
        self.coordinator = None

    async def _main(self) -> None:
        """Open a coordinator, work until told to close it, and open another."""
        try:
            while True:
                await self._one_coordinator()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            if self.process.alive:
                self._watch.went_wrong(self.name, f"its main task ended with {error!r}")

    async def _one_coordinator(self) -> None:
        self._closes = asyncio.Event()
        randomness = Randomness(self.chance)
        self.tokens = randomness.tokens
        self.coordinator = Coordinator(
            self._cluster,
            label=self.name,
            clock=self.clock,
            connector=self._connect,
            randomness=randomness,
        )
        async with self.coordinator as coordinator:
            workers = [asyncio.ensure_future(self._work(coordinator)) for _ in range(self.workers)]
            await self._closes.wait()
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        self.coordinator = None

    def close(self) -> None:
        """Let the coordinator be closed with whatever it holds, and another be opened."""
        self.process.post(self._closes.set)

    async def _connect(self, node: str, _url: str) -> Connection:
        connection = await self._network.connect(self.name, self.process, self._nodes[node])
        self.connections[node] = connection
        send = connection.send

        def seen(data: bytes) -> None:
            self._watch.client_sends(self, node, data)
            send(data)

        connection.send = seen  # type: ignore[method-assign]
        return connection

    # Work

    async def _work(self, coordinator: Coordinator) -> None:
        for _ in range(_OPERATIONS):
            await asyncio.sleep(self.chance.uniform(*self._habits.thinks))
            if not self.works:
                break
            await self._perform(self._operation(coordinator))
        await asyncio.Event().wait()  # until the coordinator is closed

    async def _perform(self, operation: Any) -> None:
        """Run an operation in a task of its own: it may be cancelled at any point, and the worker goes on."""
        task = asyncio.ensure_future(operation)
        self.operations.append(task)
        try:
            await asyncio.wait([task])
        finally:
            self.operations.remove(task)
            task.cancel()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._judge(error)

    def _judge(self, error: BaseException) -> None:
        if self.process.alive and not self._is_expected(error):
            self._watch.went_wrong(self.name, f"an operation ended with {error!r}")

    def _is_expected(self, error: BaseException) -> bool:
        if isinstance(error, EXPECTED):
            return True
        words = str(error)
        closed = "the coordinator was closed" in words or "the coordinator is not open" in words
        return closed and isinstance(error, LockManagerError | RuntimeError)

    async def _operation(self, coordinator: Coordinator) -> None:
        habits, chance = self._habits, self.chance
        name, ttl, wait = chance.choice(habits.names), chance.choice(habits.ttls), chance.choice(habits.waits)
        hold, shared = chance.uniform(*habits.holds), chance.random() < habits.shared
        on_lost: Any = "signal" if chance.random() < habits.signals else "cancel"
        if chance.random() < habits.bursts:
            await self._burst(coordinator, ttl)
        elif chance.random() < habits.efficiency:
            async with coordinator.efficiency_lock(name, ttl=ttl, wait=wait, on_lost=on_lost):
                await asyncio.sleep(hold)
        elif chance.random() < 0.5:
            async with coordinator.lock(name, ttl=ttl, wait=wait, shared=shared, on_lost=on_lost) as lease:
                await self._use(lease, hold, shared=shared)
        else:
            lease = await coordinator.acquire(name, ttl=ttl, wait=wait, shared=shared)
            try:
                await self._use(lease, hold, shared=shared)
            finally:
                await lease.release()

    async def _burst(self, coordinator: Coordinator, ttl: float) -> None:
        """Acquire a lock nobody else wants, again and again."""
        for _ in range(_BURST):
            async with coordinator.lock(f"{self.name}'s own", ttl=ttl, wait=10.0) as lease:
                await self._use(lease, 0.0, shared=False)

    async def _use(self, lease: Lease, hold: float, *, shared: bool) -> None:
        """Read, take a while, and write back; a reader only reads."""
        value = self._resource.read(lease.name, lease.fence, shared=shared)
        if self.chance.random() < self._habits.renews:
            await lease.renew(self.chance.choice(self._habits.ttls))
        await asyncio.sleep(hold)
        if value is not None and not shared:
            accepted = self._resource.write(lease.name, value + 1, lease.fence)
            self._watch.wrote(lease.name, value, lease.fence, accepted=accepted)

    def demand(self, name: str, then: Callable[[], None]) -> None:
        """Acquire one more time, patiently; `then` is called when it was held."""
        if self.process.alive and self.coordinator is not None:
            self.process.post(lambda: asyncio.ensure_future(self._demanded(name, then)))
        else:
            self._scheduler.after(_PAUSE, partial(self.demand, name, then))

    async def _demanded(self, name: str, then: Callable[[], None]) -> None:
        try:
            assert self.coordinator is not None
            async with self.coordinator.lock(name, ttl=self._habits.ttls[0]):
                await asyncio.sleep(0)
        except (LockManagerError, RuntimeError) as error:
            if not self._is_expected(error):
                raise
            self._scheduler.after(_PAUSE, partial(self.demand, name, then))
        else:
            then()

    # Being watched

    def _after_turn(self) -> None:
        self._watch.client_turned(self)

    def _on_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.process.alive:
            self._watch.went_wrong(self.name, f"{context.get('message')}: {context.get('exception')!r}")
