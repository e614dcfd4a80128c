"""A child may run only while its lease is valid: when to tell it to stop, when to kill it, and doing so in time.

The schedule is pure; the guard carries it out, on its own schedule and not on `lease.lost`, which comes too late to
let a child end in good order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ..lease import Lease
from .child import Child
from .messages import say

_LONGEST_GRACE: Final = 5.0
_LONGEST_MARGIN: Final = 0.5
_LONGEST_PAUSE: Final = 0.25
"""Seconds. Timers stand still while the machine sleeps and the lease does not, so the clock is looked at often."""


class Step(Enum):
    """What a child has to be told now."""

    GO_ON = auto()
    STOP = auto()
    DIE = auto()


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a child is stopped, for a lease of `ttl` seconds; all in seconds before validity ends."""

    ttl: float

    @property
    def grace(self) -> float:
        """How long before the end SIGTERM is sent."""
        return min(_LONGEST_GRACE, self.ttl / 4)

    @property
    def margin(self) -> float:
        """How long before the end SIGKILL is sent: enough for the system to end a group of processes.

        At least an eighth of the ttl, up to half a second; so always before the lease itself gives up and tells the
        nodes, a tenth of the ttl or 0.1 s before the end.
        """
        return min(_LONGEST_MARGIN, self.ttl / 8)

    def step(self, remaining: float) -> Step:
        """Say what to do when this much validity is left."""
        if remaining <= self.margin:
            return Step.DIE
        return Step.STOP if remaining <= self.grace else Step.GO_ON

    def pause(self, remaining: float) -> float:
        """Return after how many seconds to look again."""
        due = {Step.GO_ON: self.grace, Step.STOP: self.margin, Step.DIE: 0.0}[self.step(remaining)]
        return min(_LONGEST_PAUSE, max(0.001, remaining - due))


class Guard:
    """Watches one child while one lease is held."""

    def __init__(self, lease: Lease, child: Child) -> None:
        self._lease = lease
        self._child = child
        self._schedule = Schedule(lease.ttl)
        self._told = False

    async def watch(self) -> bool:
        """Wait for the child's end; returns whether the lease was lost before that.

        Once told to stop, a child stays told: a renewal that gets through later keeps the lock, so that the child
        may take its time, and does not undo the loss. Whatever ends the watch, the child does not outlive it. When
        the child ends after it was told, what it left of its group is killed: nobody guards that any more.
        """
        self._lease.call_when_lost(self._child.wake)
        try:
            while self._child.status is None:
                self.act()
                await self._next_change()
        finally:
            if self._child.status is None or self._told:
                self._child.kill()
        # We may have stood still, too: then nobody knows whether the child ended in time.
        self._tell_if(over=not self._lease.valid)
        return self._told

    def act(self) -> Step:
        """Do what is due now."""
        step = self._schedule.step(self._lease.remaining())
        if step is Step.DIE:
            self._tell_if(over=not self._lease.valid)
            self._child.kill()
        elif step is Step.STOP and not self._told:
            self._child.ask_to_end()
        if step is not Step.GO_ON and not self._told:
            self._told = True
            say(
                f"the lease on {self._lease.name!r} (fence {self._lease.fence}) is about to be lost: "
                "no renewal gets through; the command is told to stop"
            )
        return step

    def _tell_if(self, *, over: bool) -> None:
        if over and not self._told:
            self._told = True
            say(str(self._lease.loss()))

    async def _next_change(self) -> None:
        self._child.changed.clear()
        try:
            async with asyncio.timeout(self._schedule.pause(self._lease.remaining())):
                await self._child.changed.wait()
        except TimeoutError:
            return
