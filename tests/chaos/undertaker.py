"""Takes away what a run leaves on the machine, however the run ends: by recorded process ids and names, never others.

The far end (`python -m tests.chaos.undertaker`) is a process of its own that no Ctrl-C reaches. It reads what exists,
one JSON array a line: ["process", pid, started], ["namespace", name], ["mount", path], ["project", name]. At the end of
its input, which a killed harness brings about too, it removes whatever of that is still there, the newest first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_REPOSITORY: Final = Path(__file__).parents[2]
_DEADLINE: Final = 60.0
"""Seconds one command may take, and the funeral as a whole."""

_ROUNDS: Final = 10
_COMMANDS: Final = {
    "container": ("docker", "rm", "--force", "--volumes"),
    "network": ("docker", "network", "rm"),
    "volume": ("docker", "volume", "rm", "--force"),
}
_LISTS: Final = {
    "container": ("docker", "ps", "--all", "--quiet"),
    "network": ("docker", "network", "ls", "--quiet"),
    "volume": ("docker", "volume", "ls", "--quiet"),
}


class Undertaker:
    """The near end. Use it as `with Undertaker() as undertaker`; when the block is over, all that was noted is gone."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.undertaker"],
            cwd=_REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def note_process(self, pid: int) -> None:
        """Note a child that has not been waited for: its number is still its own."""
        self._note("process", pid, started(pid))

    def note_namespace(self, name: str) -> None:
        """Note a network namespace, before it is made."""
        self._note("namespace", name)

    def note_mount(self, path: Path) -> None:
        """Note where a file system is mounted, before it is."""
        self._note("mount", str(path))

    def note_project(self, name: str) -> None:
        """Note a compose project, before its first container is made."""
        self._note("project", name)

    def _note(self, *what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_DEADLINE)


def started(pid: int) -> int:
    """Return when a process began, in ticks of its machine: with it, a number given anew is no longer that process.

    0 when there is no such process, or only what is left of one until its parent asks for its status.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


class _Funeral:
    """The far end."""

    def serve(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        noted = [json.loads(line) for line in sys.stdin]
        bury: dict[str, Callable[..., None]] = {
            "process": self._kill,
            "namespace": self._delete_namespace,
            "mount": self._unmount,
            "project": self._remove_project,
        }
        for what, *which in reversed(noted):
            with suppress(subprocess.TimeoutExpired):
                bury[what](*which)

    def _kill(self, pid: int, since: int) -> None:
        deadline = time.monotonic() + _DEADLINE
        while since and started(pid) == since and time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def _delete_namespace(self, name: str) -> None:
        if Path("/run/netns", name).exists():
            _try("ip", "netns", "delete", name)

    def _unmount(self, path: str) -> None:
        if Path(path).is_mount():
            _try("umount", "--lazy", path)

    def _remove_project(self, name: str) -> None:
        """Remove it until nothing is found: a compose command that outlived its harness may still be making more."""
        for _ in range(_ROUNDS):
            found = {what: _of_project(list_all, name) for what, list_all in _LISTS.items()}
            if not any(found.values()):
                return
            for what, some in found.items():
                if some:
                    _try(*_COMMANDS[what], *some)
            time.sleep(1.0)


def _of_project(list_all: tuple[str, ...], name: str) -> list[str]:
    return _try(*list_all, "--filter", f"label=com.docker.compose.project={name}").split()


def _try(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE, check=False)
    if done.returncode:
        print(f"undertaker: {' '.join(command)} failed: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout


if __name__ == "__main__":
    _Funeral().serve()
