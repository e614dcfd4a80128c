"""What the system tells of processes, and children of ours that serve or work until their standard input ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_END_DEADLINE: Final = 5.0


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU seconds these processes and all their descendants have used, those already reaped included.

    The clock behind it ticks every 10 ms: differences over less than a second say little.
    """
    stats = _all_stats()
    return sum(stats[pid][1] for pid in _with_descendants(pids, stats)) / _TICKS


def resident_bytes(pid: int) -> int:
    """Return the memory one process has in RAM, shared pages included."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _all_stats() -> dict[int, tuple[int, int]]:
    """Return the parent and the CPU ticks of every process."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended while we looked
                found[int(entry.name)] = _parse_stat(Path(entry.path, "stat").read_text(encoding="utf-8"))
    return found


def _parse_stat(text: str) -> tuple[int, int]:
    """Read parent and ticks from `/proc/<pid>/stat`; the second field is a name that may hold anything."""
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15])


def _with_descendants(pids: Sequence[int], stats: dict[int, tuple[int, int]]) -> set[int]:
    found = {pid for pid in pids if pid in stats}
    while more := {pid for pid, (parent, _) in stats.items() if parent in found and pid not in found}:
        found |= more
    return found


class Child:
    """`python -m module ...` as a child process that talks in lines; it ends when its standard input is closed."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def line(self, deadline: float) -> str:
        """Block for the next line it says; raises RuntimeError when none comes within `deadline` seconds."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(deadline, self._process.kill)
        watchdog.start()
        try:
            text = self._process.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if not text:
            raise RuntimeError(f"{self._module} said nothing within {deadline:g} s")
        return text

    def say(self, text: str) -> None:
        """Send it one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Close its input, wait until it is gone, and kill it when it does not go. Idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_END_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class CpuShare:
    """Reads which share of one core processes used since it was made."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._used = cpu_seconds(pids)
        self._begin = time.perf_counter()

    def read(self) -> float:
        """Return CPU seconds per second."""
        return (cpu_seconds(self._pids) - self._used) / (time.perf_counter() - self._begin)
