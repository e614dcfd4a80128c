"""Lives of one node that begin within a fraction of a ttl: forked as in `tests.support.zygote`, in its namespace.

Only so does a restarted node find leases in its journal that their holders still rely on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

from tests.chaos.child import REPOSITORY, environment, python
from tests.chaos.namespaces import Namespace
from tests.support import quick_node, zygote

_POLL: Final = 0.005


class Nursery(zygote.Zygote):
    """The near end, for one node; several threads may use it. `silence` as in `ChaosNode`."""

    def __init__(self, directory: Path, namespace: Namespace | None, silence: float) -> None:
        """Start it; `directory` only tells people who list processes to which cluster this one belongs."""
        settings = {quick_node.SILENCE: str(silence)} if silence else {}
        self._turn = Lock()
        self._process = subprocess.Popen(
            python(__name__, str(directory), namespace=namespace),
            cwd=REPOSITORY,
            env=environment() | settings,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, arguments: Sequence[str], log: Path) -> Life:
        """Begin a life of the node."""
        return Life(self, self.start(arguments, log, zygote.Disk()))

    def _order(self, *order: object) -> Any:
        with self._turn:
            return super()._order(*order)


class Life:
    """One life of a node, with as much of `subprocess.Popen` as a `ProcessNode` uses."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        return self._nursery.poll(self.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the life has ended."""
        if self.poll() is None:  # nobody else reaps it: until the next poll the number is its own
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Wait until it has ended; raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a node", timeout)
            time.sleep(_POLL)
        return status


def _main(arguments: Sequence[str] | None = None) -> int:
    """Be a node, in a process that was forked for it."""
    sys.argv[1:] = arguments or ()
    return quick_node.run()


if __name__ == "__main__":
    import uvloop  # noqa: F401 - nodes find it imported

    zygote._Nursery(_main).serve()
