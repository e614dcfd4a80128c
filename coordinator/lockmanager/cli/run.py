"""`lockmanager run NAME -- COMMAND...`: a command that runs only while a lock is held."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Final

import click

from ..coordinator import Coordinator
from ..lease import Lease, LockContext
from .child import CannotStart, Child
from .exits import Exit
from .guarding import Guard
from .interruption import ENDING, Interruptible, listen
from .messages import log_errors_only, say
from .target import Target, with_target
from .terminal import JobControl, Terminal

_PASSED_ON: Final = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run, under which lock; seconds."""

    name: str
    ttl: float
    wait: float | None
    shared: bool
    efficiency: bool
    command: tuple[str, ...]


@click.command()
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--ttl", type=float, default=10.0, show_default=True, help="seconds the lock outlives a lost holder")
@click.option("--wait", type=float, help="seconds to wait in line, 0 to try once (default: for ever)")
@click.option("--shared", is_flag=True, help="stand together with other shared holders")
@click.option("--efficiency", is_flag=True, help="one node grants it: saves work, does not guard correctness")
@click.option("--label", help="who holds it, for people (default: host name and process id)")
@with_target
def run(
    target: Target,
    name: str,
    command: tuple[str, ...],
    ttl: float,
    wait: float | None,
    shared: bool,  # noqa: FBT001  # click passes by keyword
    efficiency: bool,  # noqa: FBT001
    label: str | None,
) -> int:
    """Run COMMAND while the lock NAME is held, and exit with its status.

    COMMAND gets LOCKMANAGER_NAME and LOCKMANAGER_FENCE, and our signals. Write -- before it. When the lock cannot be
    renewed it gets SIGTERM, and SIGKILL before the lock could be given to somebody else.

    \b
    Exit status: COMMAND's own; 128 + signal when it was killed;
      64 usage   69 too few nodes answer   75 not acquired in time
      77 access denied   78 bad configuration   79 the lock was lost
      126 COMMAND cannot be executed   127 COMMAND is not found
    """
    if shared and efficiency:
        raise click.UsageError("--shared and --efficiency exclude each other: an efficiency lock has one holder")
    log_errors_only()
    wish = Wish(name, ttl, wait, shared, efficiency, command)
    # The standard event loop: uvloop keeps SIGCHLD to itself.
    return asyncio.run(_run(target.coordinator(label), wish))


async def _run(coordinator: Coordinator, wish: Wish) -> int:
    job = _Job(coordinator, wish)
    work = Interruptible(job.run())

    def on_signal(number: signal.Signals) -> None:
        if job.child is not None:
            job.child.send(number)
        elif number is not signal.SIGWINCH:
            work.interrupt(number)

    listen(_PASSED_ON, on_signal)
    return await work.result()


class _Job:
    """One lock and one command: waits for the lock, runs the command, releases the lock."""

    def __init__(self, coordinator: Coordinator, wish: Wish) -> None:
        self.child: Child | None = None
        self._coordinator = coordinator
        self._wish = wish
        self._terminal = Terminal()

    async def run(self) -> int:
        try:
            async with self._coordinator, self._lock() as lease:
                return await self._hold(lease)
        except CannotStart as error:
            say(str(error))
            return error.status

    def _lock(self) -> LockContext:
        wish, coordinator = self._wish, self._coordinator
        if wish.efficiency:
            return coordinator.efficiency_lock(wish.name, ttl=wish.ttl, wait=wish.wait, on_lost="signal")
        return coordinator.lock(wish.name, ttl=wish.ttl, wait=wish.wait, shared=wish.shared, on_lost="signal")

    async def _hold(self, lease: Lease) -> int:
        # Before the command starts: a ^Z in between would stop us alone, and nobody would guard what runs.
        listen((signal.SIGTSTP,), lambda _: jobs.stop())
        listen((signal.SIGCONT,), lambda _: jobs.go_on())
        child = Child(self._wish.command, _environment(lease))
        guard = Guard(lease, child)
        jobs = JobControl(self._terminal, child, guard)
        child.on_stopped = jobs.on_child_stopped
        self.child = child
        try:
            lost = await guard.watch()
        finally:
            self._terminal.take_back(child.group)
        return Exit.LOST if lost or child.status is None else child.status


def _environment(lease: Lease) -> dict[str, str]:
    return os.environ | {"LOCKMANAGER_NAME": lease.name, "LOCKMANAGER_FENCE": str(lease.fence)}
