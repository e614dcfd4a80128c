"""The controlling terminal, lent to the child when it asks for it, and job control for both of us.

The child runs in a process group of its own (see `child`), and only one group may use the terminal. Taking it for
the child from the start would stop the rest of a pipeline (`lockmanager run ... | less`), never giving it would
stop a child that reads it. So the child gets it on demand: the system stops a group that wants the terminal and
does not have it; then, if we have it, we lend it and let the child go on. Before that ^C reaches us and is passed
on; after it, ^C goes to the child directly. A child that ^Z stops takes us along, so the shell sees one stopped job.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from .child import Child
from .guarding import Guard, Step
from .messages import say

_ASKING: Final = (signal.SIGTTIN, signal.SIGTTOU)
"""What stops a process that wants the terminal while another group has it."""


class Terminal:
    """The terminal this process was started from; without one every call does nothing."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            return

    def __bool__(self) -> bool:
        return self._descriptor is not None

    def lend(self, group: int) -> bool:
        """Give the terminal to a group of our session; returns False when it is not ours to give."""
        return self._pass_on(os.getpgrp(), group)

    def take_back(self, group: int) -> bool:
        """Take the terminal back from that group; returns False when it does not have it."""
        return self._pass_on(group, os.getpgrp())

    def _pass_on(self, giver: int, taker: int) -> bool:
        if self._descriptor is None:
            return False
        # Blocked, SIGTTOU does not stop a group in the background that takes the terminal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            if os.tcgetpgrp(self._descriptor) != giver:
                return False
            os.tcsetpgrp(self._descriptor, taker)
        except OSError:
            return False
        else:
            return True
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class JobControl:
    """What a stop of the child means for us, and going on again."""

    def __init__(self, terminal: Terminal, child: Child, guard: Guard) -> None:
        self._terminal = terminal
        self._child = child
        self._guard = guard
        self._stopping = False

    def stop(self) -> None:
        """Pass ^Z on to the child. One that stands still already, to ask for the terminal, gets it when all go on.

        Let go on at once it would forget our stop: SIGCONT discards the stops a process has not taken yet.
        """
        self._child.send(signal.SIGTSTP)
        self._stopping = True
        try:
            self._child.look()
        finally:
            self._stopping = False

    def on_child_stopped(self, number: int) -> None:
        """Lend the terminal to a child that asks for it; let ^Z stop us, too. Other stops are somebody else's wish."""
        child = self._child
        stopping, self._stopping = self._stopping, False
        if number in _ASKING and not stopping and self._terminal.lend(child.group):
            child.send(signal.SIGCONT)
        elif number in (*_ASKING, signal.SIGTSTP) and self._terminal:
            lent = self._terminal.take_back(child.group)
            if stop_ourselves() or number not in _ASKING:
                self.go_on(lend=lent)
            else:
                say("the command wants the terminal, which another job has")

    def go_on(self, *, lend: bool = False) -> None:
        """Let the child go on, unless its lease ended while we stood still: then it must not run again."""
        if self._guard.act() is Step.DIE:
            return
        if lend:
            self._terminal.lend(self._child.group)
        self._child.send(signal.SIGCONT)


def stop_ourselves() -> bool:
    """Stop this process as ^Z does; returns when it goes on, or False at once where no shell could let it go on."""
    continued: list[int] = []
    on_continue = signal.signal(signal.SIGCONT, lambda number, _: continued.append(number))
    on_stop = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, on_stop)
    signal.signal(signal.SIGCONT, on_continue)
    return bool(continued)
