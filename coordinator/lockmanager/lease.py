"""What a holder has in hand: the lease, and the `async with` that acquires, guards and releases it."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal

from .actions import NODE_TIMEOUT, Phase
from .checks import checked_ttl
from .durations import MICROSECONDS, seconds
from .errors import LeaseLost, RequestRejected
from .run import Run

log = logging.getLogger("lockmanager")

OnLost = Literal["cancel", "signal"]


class Lease:
    """A lock that is held, until it is released or lost. Renewed by itself while it is held.

    `valid` is a promise about time, not about the network: until `remaining()` is over, no other client can hold the
    lock. A paused process can outlive it; only a resource that checks `fence` is safe against that.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._released = False
        self.name = run.acquisition.request.name
        self.fence = run.acquisition.fence

    @property
    def ttl(self) -> float:
        """The ttl in seconds: how long the lease outlives its holder's last sign of life."""
        return seconds(self._run.acquisition.ttl)

    @property
    def ticket(self) -> int:
        """The ticket the lease was acquired with: its place in line, smaller ones first; for people and records.

        It orders those who stood in line together, and may be far below `fence`: only the fence protects a resource.
        """
        return self._run.acquisition.request.ticket

    @property
    def valid(self) -> bool:
        """Whether the lease is held and its validity has not ended."""
        return self._run.held

    @property
    def lost(self) -> asyncio.Event:
        """Set once the lease is lost, before its validity ends; never set by a release."""
        return self._run.lost

    def remaining(self) -> float:
        """Return for how many seconds the lease may still be relied on without a renewal; 0.0 when it is over."""
        return seconds(self._run.remaining())

    def check(self) -> None:
        """Raise LeaseLost unless the lease is valid. Call it before a step that cannot be undone."""
        if not self.valid:
            raise self.loss()

    def loss(self) -> LeaseLost:
        """Return the error that tells how this lease ended."""
        return LeaseLost(self.name, fence=self.fence, reason=self._run.end_reason or "its validity has ended")

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the event loop when the lease is lost; at once if it is lost already."""
        self._run.call_when_lost(callback)

    async def renew(self, ttl: float | None = None) -> None:
        """Renew now, on a majority; with `ttl` (seconds) also change it for all later renewals.

        The schedule renews by itself: use this to change the ttl, or before a long step without an await. Raises
        LeaseLost when the lease is over, RequestRejected for a bad ttl. When too few nodes answer within the node
        timeout nothing changes and the lease stays what it was: look at `remaining()`. A ttl above 30 s counts when a
        majority has confirmed it within 30 s; a shorter one than before counts when a majority was heard, and others
        still wait for as long as the nodes granted before.
        """
        self.check()
        run = self._run
        run.engine.check_usable()
        wanted = run.acquisition.ttl if ttl is None else checked_ttl(ttl, run.engine.cluster.limits)
        try:
            async with asyncio.timeout(NODE_TIMEOUT / MICROSECONDS):
                await run.renewed(wanted)
        except TimeoutError:
            log.info("renewal_unconfirmed name=%r", self.name)
        self.check()

    async def release(self) -> None:
        """End the lease; returns when a majority has confirmed, or after the node timeout at the latest.

        Idempotent, and never raises for a lease that is already over. Cancelled, it has released all the same.
        """
        if self.release_soon():
            acquisition = self._run.acquisition
            await self._run.engine.confirmed(acquisition.token, acquisition.ballot.majority)

    def release_soon(self) -> bool:
        """End the lease without waiting for anybody; returns False for one that was over already. Idempotent."""
        held = self._run.acquisition.phase is Phase.HELD
        if not self._run.over:
            self._run.engine.check_usable()
        self._released = True
        self._run.release()
        return held

    def notice_the_time(self) -> None:
        """Set `lost` now if the lease's time passed while this process stood still; else its timer does so later."""
        self._run.notice_the_time()

    def __repr__(self) -> str:
        state = f"{self.remaining():.3f} s left" if self.valid else "over"
        return f"<Lease {self.name!r} fence={self.fence} {state}>"

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is None or self._released or run.over or not run.engine.is_open:
            return
        # First the release: where warnings are errors, the warning raises.
        run.engine.call_soon_threadsafe(run.release)
        if not run.is_lost:
            warnings.warn(f"{self!r} was dropped without release()", ResourceWarning, source=self, stacklevel=2)


class LockContext:
    """`async with coordinator.lock(...) as lease:`; acquires on entry, releases on exit, cancels on loss.

    A lost lease cancels the body, and the block raises LeaseLost; so does a block whose body swallowed the
    cancellation, or ended after its lease because the process had stood still. With `on_lost="signal"` only
    `lease.lost` and the callbacks tell. An error the body raises of its own is never hidden. Use each context once.
    """

    def __init__(self, acquire: Callable[[], Awaitable[Lease]], on_lost: OnLost) -> None:
        if on_lost not in ("cancel", "signal"):
            raise RequestRejected("on_lost", f"on_lost is 'cancel' or 'signal'; got {on_lost!r}")
        self._acquire = acquire
        self._on_lost = on_lost
        self._used = False
        self._lease: Lease | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._inside = False
        self._cancelled = False
        self._pid = os.getpid()

    async def __aenter__(self) -> Lease:
        if self._used:
            raise RuntimeError("this lock context was used already: call lock() for each `async with`")
        self._lease = lease = await self._acquire()
        self._used = True
        if lease.lost.is_set():
            lease.release_soon()
            raise lease.loss()
        if self._on_lost == "cancel":
            self._task = asyncio.current_task()
            self._cancelling = self._task.cancelling() if self._task is not None else 0
            self._inside = True
            lease.call_when_lost(self._cancel_body)
        return lease

    def _cancel_body(self) -> None:
        if self._inside and self._task is not None:
            self._cancelled = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        lease, self._lease = self._lease, None  # the lease's run refers to this context: no circle is left behind
        if lease is None or self._pid != os.getpid():
            return  # a fork's copy: the lease is the parent's
        lease.notice_the_time()
        if self._cancelled_by_others() and error is not None:
            lease.release_soon()
        elif lease.lost.is_set():
            lease.release_soon()
            if self._on_lost == "cancel":
                self._raise_loss(lease, error)
        else:
            await lease.release()

    def _cancelled_by_others(self) -> bool:
        """Take our own cancellation back, and say whether somebody else's remains (as `asyncio.timeout` does)."""
        if not self._cancelled or self._task is None:
            return False
        return self._task.uncancel() > self._cancelling

    def _raise_loss(self, lease: Lease, error: BaseException | None) -> None:
        if error is None or (self._cancelled and isinstance(error, asyncio.CancelledError)):
            raise lease.loss() from error
