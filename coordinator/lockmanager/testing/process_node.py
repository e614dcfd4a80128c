"""A lock node as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Protocol
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ..topology import Cluster

READY_DEADLINE: Final = 60.0
"""Seconds until a node is ready: one that forgot its leases is silent for half a minute."""

_START_DEADLINE: Final = 15.0
_STOP_DEADLINE: Final = 5.0
_POLL: Final = 0.02


class LocalNode(Protocol):
    """What a local cluster does with a node; each call blocks until it is done, and is idempotent."""

    def start(self) -> None: ...
    def begin(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class ProcessNode:
    """Runs `python -m lockmanager_node` for one node of a cluster."""

    _module = "lockmanager_node"

    def __init__(self, cluster: Cluster, node: str, config: Path, data_dir: Path | None) -> None:
        self._node = node
        self._url = cluster.url(node, "internal")
        self._config = config
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the node runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it unless it runs, and wait until it is ready."""
        self.begin()
        self._wait_until("/readyz", READY_DEADLINE)

    def begin(self) -> None:
        """Start it unless it runs, and wait until it answers, ready or not."""
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                start_new_session=True,
            )
        self._wait_until("/healthz", _START_DEADLINE)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", self._module, "--cluster", str(self._config), "--node-id", self._node]
        if self._data_dir is not None:
            command += ["--data-dir", str(self._data_dir)]
        return [*command, "--listen", urlsplit(self._url).netloc]

    def _environment(self) -> dict[str, str]:
        """Return our environment without settings that are meant for another node."""
        return {name: value for name, value in os.environ.items() if not name.startswith("LOCKMANAGER_")}

    @property
    def _log(self) -> Path:
        return self._config.parent / f"{self._node}.log"

    def _wait_until(self, path: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if _says_yes(self._url + path):
                return
            time.sleep(_POLL)
        self.kill()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip() or "nothing"
        raise RuntimeError(f"{self._node} did not come up on {self._url}; it said: {said[-2000:]}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_DEADLINE)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _says_yes(url: str) -> bool:
    try:
        with urlopen(url, timeout=1.0) as answer:  # noqa: S310  # our own http URL
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
