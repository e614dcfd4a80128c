"""The command that runs while the lock is held: a child in a process group of its own.

The group is what makes "dead before validity ends" true for the children of the child as well: one SIGKILL reaches
all of them, except those that left for a group of their own. The price is the terminal, which belongs to one
group at a time; `terminal` tells how the child gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .exits import Exit, child_status

_PR_SET_PDEATHSIG: Final = 1


class CannotStart(Exception):
    """The command cannot be run; `status` is what shells exit with."""

    def __init__(self, command: str, error: OSError) -> None:
        # A script that is there but whose interpreter is not gives "not found" too.
        found = not isinstance(error, FileNotFoundError) or shutil.which(command) is not None
        self.status = Exit.NOT_EXECUTABLE if found else Exit.NOT_FOUND
        super().__init__(f"cannot run {command}: {error.strerror}")


def _death_wish() -> Callable[[], None] | None:
    """Return what a child calls to be killed by the system when we are killed and can guard it no more (Linux).

    It reaches the child alone: what that has started lives on, and only the fence protects against it.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, us = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


class Child:
    """A running command. `changed` is set whenever something about it may have changed, `status` once it has ended.

    Make it in the loop's thread; raises CannotStart. Descriptors that were opened for us pass on to it.
    `on_stopped` learns which signal stopped it, for job control.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.changed = asyncio.Event()
        self.status: int | None = None
        self.on_stopped: Callable[[int], None] = lambda _: None
        # Ignored, as some parents leave it, it would make the child's end unknowable.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        dies_with_us = _death_wish()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the command is what the user asked to run
                command, env=environment, process_group=0, close_fds=False, preexec_fn=dies_with_us
            )
        except OSError as error:
            raise CannotStart(command[0], error) from None
        self.group = self._process.pid
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.look)
        # It may have ended before anybody listened.
        loop.call_soon(self.look)

    def wake(self) -> None:
        """Have whoever waits for `changed` look again."""
        self.changed.set()

    def send(self, number: int) -> None:
        """Send a signal to the whole group; nothing happens once the child has ended."""
        if self.status is None:
            self._signal(number)

    def ask_to_end(self) -> None:
        """Send SIGTERM, and SIGCONT so that a stopped child hears it."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the child and its group. Call it at once after the child's end to end those it left, too."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # Nobody is left, or (some systems) only those that have ended already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def look(self) -> None:
        """Take note of what happened to the child: it stopped, or it ended."""
        while self.status is None:
            pid, wait_status = os.waitpid(self.group, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            if os.WIFSTOPPED(wait_status):
                self.on_stopped(os.WSTOPSIG(wait_status))
            else:
                self._process.returncode = self.status = child_status(wait_status)
        self.changed.set()
