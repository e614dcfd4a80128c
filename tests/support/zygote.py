"""Real node processes that start fast: a process that has imported the node forks a new one for every life.

The far end (`python -m tests.support.zygote`) reads orders from its standard input, one JSON array a line, and answers
each: ["start", argv, log, disk] with a process id, ["kill", pid] with its exit status, ["poll", pid] with that or, as
long as it runs, null. At the end of its input it kills what still runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from lockmanager_node import store
from lockmanager_node.store import Batch, Store

REPOSITORY: Final = Path(__file__).parents[2]
_CRASHED: Final = 70


@dataclass(frozen=True)
class Disk:
    """What is special about the disk of a node: how many pages are written before it is tidied, and how slow it is.

    While a commit takes its seconds, whatever was decided meanwhile is in no file: an early answer is a lie then.
    """

    tidy_at: int = 1_000
    seconds: float = 0.0


class Zygote:
    """The near end. Use it as `with Zygote() as zygote`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.zygote"]
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("LOCKMANAGER_")}
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=inherited, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def start(self, argv: Sequence[str], log: Path, disk: Disk) -> int:
        """Start a node; returns its process id."""
        return int(self._order("start", list(argv), str(log), asdict(disk)))

    def kill(self, pid: int) -> int:
        """End a node by SIGKILL, whatever it does, and return its exit status; it is gone then."""
        return int(self._order("kill", pid))

    def poll(self, pid: int) -> int | None:
        """Return the exit status of a node that ended by itself, or None while it runs."""
        status = self._order("poll", pid)
        return None if status is None else int(status)

    def _order(self, *order: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


class _Nursery:
    """The far end."""

    def __init__(self, main: Callable[[Sequence[str]], int]) -> None:
        self._main = main
        self._living: set[int] = set()
        self._ended: dict[int, int] = {}

    def serve(self) -> None:
        for line in sys.stdin:
            verb, *rest = json.loads(line)
            print(json.dumps(getattr(self, verb)(*rest)), flush=True)
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def start(self, argv: list[str], log: str, disk: dict[str, Any]) -> int:
        pid = os.fork()
        if pid == 0:
            self._live(argv, log, Disk(**disk))
        self._living.add(pid)
        return pid

    def kill(self, pid: int) -> int:
        if pid in self._living:  # a child nobody has reaped: the number is still its own
            os.kill(pid, signal.SIGKILL)
            self._bury(pid, os.waitpid(pid, 0)[1])
        return self._ended.pop(pid)

    def poll(self, pid: int) -> int | None:
        if pid in self._living:
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                return None
            self._bury(pid, status)
        return self._ended[pid]

    def _bury(self, pid: int, status: int) -> None:
        self._living.discard(pid)
        self._ended[pid] = os.waitstatus_to_exitcode(status)

    def _live(self, argv: list[str], log: str, disk: Disk) -> NoReturn:
        status = _CRASHED
        try:
            output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
                os.dup2(output, descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
            _use(disk)
            status = self._main(argv)
        finally:
            sys.stderr.flush()
            os._exit(status)


def _use(disk: Disk) -> None:
    vars(store)["_TIDY_AT"] = disk.tidy_at
    if disk.seconds:
        original = Store.commit

        def commit(journal: Store, batch: Batch) -> None:
            time.sleep(disk.seconds)  # in the thread of the journal, as a disk would
            original(journal, batch)

        setattr(Store, "commit", commit)  # noqa: B010 - a method cannot be assigned to


if __name__ == "__main__":
    import uvloop  # noqa: F401 - nodes find it imported

    from lockmanager_node.__main__ import main

    _Nursery(main).serve()
