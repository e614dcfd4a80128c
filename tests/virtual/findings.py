"""What a run looked at, how often, and what it found that must not be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from tests.virtual.listening import listening
from tests.virtual.loop import VirtualLoop, run_virtually


class Findings:
    """How often each thing was looked at, and what was not as it must be."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.complaints: list[str] = []

    def check(self, what: str, holds: bool, *words: object) -> None:
        """Note that something was looked at, and complain when it does not hold."""
        self.checks[what] += 1
        if not holds:
            self.complaints.append(f"{what}: {' '.join(map(str, words))}")

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
