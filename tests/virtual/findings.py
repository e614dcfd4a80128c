"""What a run looked at, how often, and what it found that must not be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, get_args

from tests.virtual.listening import listening
from tests.virtual.loop import VirtualLoop, run_virtually

Check = Literal[
    "a holder learns of the close",
    "another gets the lock",
    "errors are the library's",
    "everybody gets the lock in the end",
    "exclusion, and fences that rise",
    "it ends",
    "it ends as always",
    "no connection is left",
    "no session is left",
    "no task is left",
    "no task is left at the end",
    "no task outlives the close",
    "no timer is left at the end",
    "nobody else cancels",
    "nobody waits for the renewal",
    "nothing is left in a client",
    "nothing is left on any node",
    "nothing is lost once all is well",
    "nothing logged as an error",
    "the cancellation arrives",
    "the run comes to its end",
    "who waits learns of the close",
]
CHECKS: Final[tuple[Check, ...]] = get_args(Check)
"""Everything that is looked at; what never was has not been shown."""


class Findings:
    """How often each thing was looked at, and what was not as it must be."""

    def __init__(self) -> None:
        self.checks: Counter[Check] = Counter()
        self.complaints: list[str] = []

    def check(self, what: Check, holds: bool, *words: object) -> None:
        """Note that something was looked at, and complain when it does not hold."""
        self.looked(what)
        if not holds:
            self.complaints.append(f"{what}: {' '.join(map(str, words))}")

    def looked(self, what: Check, times: int = 1) -> None:
        """Note that something was looked at, so many times."""
        self.checks[what] += times

    def of_a_run(self, main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
        """Run something in virtual time; that it does not get to its end is a finding too, and so is what it says."""
        with listening() as heard:
            try:
                run_virtually(main)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is one more thing that must not be
                self.check("the run comes to its end", False, repr(error))
            else:
                self.check("the run comes to its end", True)
        self.check("nothing logged as an error", not heard, heard)
