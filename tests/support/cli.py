"""The command line as a real process, and waiting for what it does: on conditions, with deadlines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

DEADLINE: Final = 20.0
"""Seconds after which a test that waits for something gives up."""

PROGRAM: Final = (sys.executable, "-m", "lockmanager")


def environment(**more: str) -> dict[str, str]:
    """Return our environment without settings of the machine's owner, and with `more`."""
    return {name: text for name, text in os.environ.items() if not name.startswith("LOCKMANAGER_")} | more


def lockmanager(
    *arguments: str, stdin: str = "", deadline: float = DEADLINE, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, within `deadline` seconds; `more` are variables of its environment."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    """Start a command; use it as `with start(...) as process`, inside `ending`."""
    # Whoever runs the tests in the background may have left signals ignored, and that is inherited.
    more.setdefault("preexec_fn", _default_signals)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PROGRAM, *arguments], env=environment(), text=True, **pipes | more)


def _default_signals() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Ending:
    """Kills a process at the end of a block, whatever happened in it."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process

    def __enter__(self) -> subprocess.Popen[Any]:
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(DEADLINE)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; fails when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.005)


def text_of(path: Path) -> str:
    """Return a file's text, "" while it is not there."""
    return path.read_text() if path.exists() else ""


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
