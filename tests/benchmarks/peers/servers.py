"""Server programs of the peers as child processes: found, started in a directory of their own, waited for, stopped.

Each listens on loopback ports that were free just before. A server ends with whoever started it, where the system has
`setpriv`; it is only ever ended by its process id.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal as signals
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..subject import Missing

HOST: Final = "127.0.0.1"
_READY_DEADLINE: Final = 30.0
_STOP_DEADLINE: Final = 5.0
_SET_UP_DEADLINE: Final = 90.0
_TOLD: Final = 500
"""How many characters of a server's last words an error repeats."""


def program(name: str, *also_in: Path) -> str:
    """Return the path of an installed program; raises Missing when it is in neither PATH nor those directories."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", *map(str, also_in)])
    found = shutil.which(name, path=places)
    if found is None:
        raise Missing(name)
    return found


def free_ports(size: int) -> list[int]:
    """Return ports nobody listens on at the moment."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(size)]
    ports = [port for _, port in (listener.getsockname() for listener in sockets)]
    for listener in sockets:
        listener.close()
    return ports


class Servers:
    """The servers of one subject and the directory below which they keep everything."""

    def __init__(self, user: str | None = None) -> None:
        """`user` is whom servers run as when we are root: some programs refuse to serve as root."""
        self._user = user if user is not None and os.geteuid() == 0 else None
        self._root: Path | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}

    @property
    def pids(self) -> Sequence[int]:
        """The servers in the order they were started in."""
        return [process.pid for process in self._processes]

    def directory(self, name: str) -> Path:
        """Return a new directory the servers may write to."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="lock_peer_"))
            self._give(self._root)
        path = self._root / name
        path.mkdir()
        self._give(path)
        return path

    async def set_up(self, *command: str) -> None:
        """Run a program that prepares something and ends; raises RuntimeError with its words when it fails."""
        done = await asyncio.to_thread(self._run, command)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout.decode(errors='replace')[-_TOLD:]}")

    def launch(self, directory: Path, *command: str, stop_by: int = signals.SIGTERM) -> None:
        """Start a server in its directory; `stop_by` is the signal it takes for a prompt end."""
        log = directory / "output.log"
        with_us = ["setpriv", f"--pdeathsig={signals.Signals(stop_by).name[3:]}"] if shutil.which("setpriv") else []
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*with_us, *command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        self._processes.append(process)
        self._logs[process.pid] = log

    async def ready(self, probe: Callable[[], object]) -> None:
        """Return once `probe`, called in a thread again and again, raises nothing; within a deadline."""
        deadline = time.monotonic() + _READY_DEADLINE
        while True:
            try:
                await asyncio.to_thread(probe)
            except Exception as error:
                self._complain_of_the_dead()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not ready within {_READY_DEADLINE:g} s: {error}") from error
                await asyncio.sleep(0.05)
            else:
                return

    async def stop(self, stop_by: int = signals.SIGTERM) -> None:
        """End all servers and remove what they wrote. Idempotent."""
        await asyncio.to_thread(self._stop, stop_by)

    def _stop(self, stop_by: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                for signal in (stop_by, signals.SIGCONT):
                    process.send_signal(signal)
        deadline = time.monotonic() + _STOP_DEADLINE
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait(_STOP_DEADLINE)
        self._processes.clear()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            check=False,
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SET_UP_DEADLINE,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )

    def _give(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user, self._user)

    def _complain_of_the_dead(self) -> None:
        for process in self._processes:
            if process.poll() is not None:
                last_words = self._logs[process.pid].read_text(encoding="utf-8", errors="replace")[-_TOLD:]
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {last_words}")
