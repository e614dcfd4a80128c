"""Runs of the journal's driver in which one system call fails, or is the last one: what came of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from tests.support.journal_cases import after, contents
from tests.support.journal_driver import FAILED, REFUSED, STEPS

REQUIRED: Final = "LOCKMANAGER_REQUIRE_STRACE"
"""Variable: 1 makes it a failure that strace is missing."""

KILL: Final = "signal=SIGKILL"
DEADLINE: Final = 60.0
"""Seconds one run may take."""

_REPOSITORY: Final = Path(__file__).parents[2]
_AT_A_TIME: Final = 2
_STATES: Final = [after(STEPS[:count]) for count in range(len(STEPS) + 1)]


def require_strace() -> None:
    """Skip the test where strace is not installed, unless it is required."""
    if shutil.which("strace") is None:
        assert os.environ.get(REQUIRED) != "1", f"strace is missing, and {REQUIRED} is 1"
        pytest.skip("strace is not installed")


@dataclass(frozen=True)
class Run:
    """One run of the driver: what was injected where, whether it came to that, and what the driver said."""

    what: str
    happened: bool
    status: int
    said: list[str]
    directory: Path

    @property
    def acknowledged(self) -> int:
        """The last step that was called durable."""
        return max((int(line) for line in self.said if line.isdecimal()), default=0)

    @property
    def failure(self) -> str:
        """Why the journal failed, "" if it did not."""
        return next((line for line in self.said if line.startswith(("failed", "refused"))), "")

    def check(self) -> None:
        """Nothing that was called durable is missing, and after a failure nothing was called durable any more."""
        told = [int(line) for line in self.said if line.isdecimal()]
        assert told == list(range(1, self.acknowledged + 1)), self
        if self.failure:
            assert self.said[-1] == self.failure, self
            assert str(self.directory) in self.failure, self
            assert self.status == (FAILED if self.failure.startswith("failed") else REFUSED), self
        found = contents(self.directory)
        states = [number for number, state in enumerate(_STATES) if state == found]
        assert states, f"{self}: no prefix of the steps leaves {found.numbers} and {found.notes}"
        assert max(states) >= self.acknowledged, self
        assert found.fence_floor >= _STATES[self.acknowledged].fence_floor, self


def every(call: str, fault: str, directory: Path) -> Iterator[Run]:
    """Run the driver with this fault at the first such call, at the second, and so on, until there is no such call."""
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        for first in count(1, _AT_A_TIME):
            at_once = range(first, first + _AT_A_TIME)
            for run in threads.map(lambda number: once(call, fault, number, directory), at_once):
                if not run.happened:
                    return
                yield run


def once(call: str, fault: str, number: int, directory: Path) -> Run:
    """Run the driver with this fault at one call of its journal's thread."""
    what, trace = f"{call} {number}: {fault}", directory / f"{number}.trace"
    journal = directory / str(number)
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
    strace = ["strace", "-f", "--seccomp-bpf", "-o", str(trace), *inject]
    driver = [sys.executable, "-m", "tests.support.journal_driver", str(journal)]
    process = subprocess.run(
        [*strace, *driver], cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=False
    )
    seen = trace.read_text()
    happened = "+++ killed by SIGKILL +++" in seen if fault == KILL else "(INJECTED)" in seen
    return Run(what, happened, process.returncode, process.stdout.splitlines(), journal)
