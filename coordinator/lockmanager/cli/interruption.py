"""Work that a signal ends in good order: cancelled, cleaned up, and answered with 128 + the signal's number."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .exits import SIGNALLED

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""The signals that ask a program to end."""


def listen(numbers: tuple[signal.Signals, ...], callback: Callable[[signal.Signals], None]) -> None:
    """Have the running loop call back for these signals; one that was ignored when we started stays ignored.

    So `nohup` and a shell's background jobs keep their meaning, for us and for what we start.
    """
    loop = asyncio.get_running_loop()
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, callback, number)


class Interruptible:
    """A piece of work, and the signal that cut it short, if one did."""

    def __init__(self, work: Coroutine[Any, Any, int]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._number = 0

    def interrupt(self, number: int) -> None:
        """Cancel the work because of a signal; further ones change nothing."""
        if not self._number:
            self._number = number
            self._task.cancel()

    async def result(self) -> int:
        """Return the work's own status, or 128 + the number of the signal that cut it short."""
        try:
            return await self._task
        except asyncio.CancelledError:
            if not self._number:
                raise
            return SIGNALLED + self._number


async def until_interrupted(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` to its end, or until a signal asks us to end."""
    interruptible = Interruptible(work)
    listen(ENDING, interruptible.interrupt)
    return await interruptible.result()
