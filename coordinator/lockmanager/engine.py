"""The owner of everything alive in a coordinator: its channels, its acquisitions and its clock.

Events come in (a frame, a session that came or went, an instant), the acquisitions concerned decide, and what they
want sent goes to the channels. No rule is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from .ballot import Link
from .channel import Channel
from .clock import Clock
from .confirmations import Confirmations
from .durations import MICROSECONDS, heartbeat
from .errors import LockManagerError
from .renewals import Renewals
from .run import Run
from .topology import Cluster
from .transport import Connector
from .wire import PROTOCOL, Answer, Granted, Hello, Release, Released, Token, UpMessage, token_from

log = logging.getLogger("lockmanager")

TICKET_AHEAD: Final = 24 * 3600 * MICROSECONDS
"""How far ahead of our wall clock a ticket is believed, in microseconds."""

_SUSPENDED: Final = MICROSECONDS // 10
"""How far our clock must run away from the loop's for a suspend, in microseconds."""


_CLOSE_DEADLINE: Final = 1.0


class Randomness(Protocol):
    """Where tokens and jitter come from; tests give a seeded source."""

    def token(self) -> Token:
        """Return a fresh token."""
        ...

    def jitter(self) -> float:
        """Return a number from 0 to 1."""
        ...


class SystemRandomness:
    """Tokens from the operating system's random source."""

    def token(self) -> Token:
        return token_from(secrets.token_bytes(64))

    def jitter(self) -> float:
        return random.random()


class Engine:
    """Runs in one event loop of one process, from `start` to `close`."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        network: str,
        connector: Connector,
        clock: Clock,
        randomness: Randomness,
        label: str,
        when_live: Callable[[str], None],
    ) -> None:
        self.cluster = cluster
        self.clock = clock
        self.randomness = randomness
        self._when_live = when_live
        self.renewals: Renewals[Run] = Renewals()
        self._clock_ahead = 0
        self._largest_ticket = 0
        self._mistrusted: set[str] = set()
        self._alive: dict[Run, None] = {}
        self._runs: dict[Token, Run] = {}
        self.confirmations = Confirmations()
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        every_node_decides = cluster.replicas == len(cluster.nodes)
        self._all_nodes = cluster.node_ids if every_node_decides else ()
        hello = Hello(PROTOCOL, cluster.fingerprint, randomness.token(), label)
        self._channels = {
            node: Channel(
                node,
                cluster.url(node, network),
                hello,
                self,
                connector=connector,
                clock=clock,
                jitter=randomness.jitter,
            )
            for node in cluster.node_ids
        }

    # Life

    def start(self) -> None:
        """Connect to every node, in the background."""
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._clock_ahead = self.clock.now() - round(self._loop.time() * MICROSECONDS)
        self._tasks = [
            asyncio.create_task(channel.run(), name=f"lockmanager channel {channel.node}")
            for channel in self._channels.values()
        ]

    async def close(self) -> None:
        """Release what is still held, tell the nodes, and end the sessions; within about a second."""
        for run in list(self._alive):
            run.abandon("the coordinator was closed")
        for channel in self._channels.values():
            channel.flush()
        if self._timer is not None:
            self._timer.cancel()
        self.confirmations.give_up()
        goodbyes = [asyncio.create_task(channel.close()) for channel in self._channels.values()]
        for channel, task in zip(self._channels.values(), self._tasks, strict=False):
            if channel.link is not Link.LIVE:
                task.cancel()
        ending = [*goodbyes, *self._tasks]
        try:
            await asyncio.wait(ending, timeout=_CLOSE_DEADLINE)
        finally:
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=_CLOSE_DEADLINE)
            self._tasks = []
            self._loop = None

    def check_usable(self) -> None:
        """Raise RuntimeError unless called in the loop and process in which the coordinator was started."""
        if self._loop is None:
            raise RuntimeError("the coordinator is not open: use `async with Coordinator...` around its use")
        if self.inherited:
            raise RuntimeError("the coordinator was opened before a fork: open one in each process")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the coordinator was opened in another event loop: open one in each loop")

    @property
    def inherited(self) -> bool:
        """Whether this is a fork's copy of the engine of another process."""
        return self._pid != os.getpid()

    @property
    def is_open(self) -> bool:
        """Whether `start` was called and `close` was not, in this process."""
        return self._loop is not None and not self._loop.is_closed() and not self.inherited

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Run a callback in the engine's loop; nothing happens once it is closed."""
        if self._loop is not None and self.is_open:
            self._loop.call_soon_threadsafe(callback)

    # Questions

    def next_ticket(self) -> int:
        """Return the next ticket: a hybrid logical clock, above everything seen so far."""
        self._largest_ticket = max(self.clock.wall(), self._largest_ticket + 1)
        return self._largest_ticket

    def nodes_of(self, name: str) -> tuple[str, ...]:
        """Return the nodes that decide about a lock."""
        return self._all_nodes or self.cluster.quorum_nodes(name)

    def url(self, node: str) -> str:
        """Return the address at which the node is reached."""
        return self._channels[node].url

    def links(self, nodes: Iterable[str]) -> dict[str, tuple[Link, str]]:
        """Return how the sessions to these nodes are."""
        channels = self._channels
        return {node: channels[node].standing for node in nodes}

    def refusals(self, nodes: Iterable[str]) -> list[LockManagerError]:
        """Return why nodes will not talk to us."""
        return [error for node in nodes if (error := self._channels[node].refusal) is not None]

    def shortest_ttl(self) -> int | None:
        return self.renewals.shortest_ttl()

    # Acquisitions

    def join(self, run: Run) -> None:
        """Let the run learn which sessions come and go."""
        self._alive[run] = None

    def enlist(self, run: Run, now: int) -> None:
        """Let answers about the run's token reach it, and keep the sessions of its nodes alive."""
        self._runs[run.acquisition.token] = run
        self.reschedule(run, now)
        beat_by = now + heartbeat(run.acquisition.ttl)
        for node in run.acquisition.request.nodes:
            channel = self._channels[node]
            if channel.beat_due > beat_by:
                channel.keep_alive()

    def reschedule(self, run: Run, now: int) -> None:
        """Renew the run's grants from now on, every third of its ttl."""
        self._wake_at(self.renewals.set(run, run.acquisition.ttl, now))

    def renews_before(self, run: Run, at: int) -> bool:
        """Say whether the run is renewed by `at`, and so looked at."""
        due = self.renewals.due(run)
        return due is not None and due <= at

    def strike(self, run: Run) -> None:
        """Forget the run's token: it was released everywhere."""
        self._runs.pop(run.acquisition.token, None)
        self.renewals.discard(run)

    def leave(self, run: Run) -> None:
        """Forget the run: it is over."""
        self.strike(run)
        self._alive.pop(run, None)

    def send(self, node: str, message: UpMessage, ttl: int, now: int) -> None:
        """Send a message in this tick's frame; a release is kept until it is confirmed or `ttl` has passed."""
        channel = self._channels[node]
        if isinstance(message, Release):
            channel.release(message, ttl, now)
        else:
            channel.send(message)

    async def confirmed(self, token: Token, majority: int) -> None:
        """Wait until a majority confirmed the release of a token, or `NODE_TIMEOUT` has passed."""
        if not await self.confirmations.wait(token, majority):
            log.info("release_unconfirmed reason=%s", "too few nodes answered; it is sent again when they are back")

    # Events

    def on_link(self, node: str, link: Link, cause: str) -> None:
        if link is Link.LIVE:
            self._when_live(node)
        for run in list(self._alive):
            if node in run.acquisition.request.nodes:
                run.on_link(node, link, cause)

    def on_answers(self, node: str, echo: int, largest_ticket: int, answers: list[Answer]) -> None:
        if largest_ticket > self._largest_ticket:
            self._note_ticket(node, largest_ticket)
        for answer in answers:
            if isinstance(answer, Released):
                self.confirmations.add(answer.token)
            elif (run := self._runs.get(answer.token)) is not None:
                run.on_answer(node, echo, answer)
            elif isinstance(answer, Granted):
                self._channels[node].disown(answer.token)

    def on_beat(self) -> None:
        """Look at every lease if the machine was suspended: our clock went on, the timers of the loop stood still."""
        ahead = self.clock.now() - round(asyncio.get_running_loop().time() * MICROSECONDS)
        if ahead - self._clock_ahead > _SUSPENDED:
            self._clock_ahead = ahead
            for run in list(self._alive):
                run.notice_the_time()

    def _note_ticket(self, node: str, ticket: int) -> None:
        """Number later than anybody seen; a clock more than a day ahead is not followed, or one would spoil all."""
        if ticket <= self.clock.wall() + TICKET_AHEAD:
            self._largest_ticket = ticket
        elif node not in self._mistrusted:
            self._mistrusted.add(node)
            log.warning("clock_ahead node=%s hint=%s", node, "its tickets are more than a day ahead: set the clocks")

    def _wake_at(self, at: int) -> None:
        """Wake up for a renewal; waking early is harmless, so an armed earlier timer stays."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        delay = max(0, at - self.clock.now()) / MICROSECONDS
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for run in self.renewals.take_due(self.clock.now()):
            run.renew()
        at = self.renewals.next()
        if at is not None:
            self._wake_at(at)
