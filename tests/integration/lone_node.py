"""A cluster of one as a process, on a disk that something is done to; and what its journal holds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from lockmanager.clock import SystemClock
from lockmanager.testing.local_cluster import free_ports
from lockmanager.topology import Cluster, NodeAddress, render_yaml
from lockmanager.wire import TOKEN_LENGTH, Acquire, Mode, Space, Token
from lockmanager_node.waking import owner
from tests.support.cli import Ending, environment
from tests.support.journal_cases import Contents, contents

REPOSITORY: Final = Path(__file__).parents[2]
START_DEADLINE: Final = 20.0
"""Seconds a node may take until it is ready."""

Before = Callable[[], None] | None
"""What the child does before it becomes the node."""

Command = Callable[[list[str], Path], tuple[list[str], Before]]
"""Makes the command that runs a node, of the plain one and a directory for what it leaves."""


def whole(command: list[str], _directory: Path) -> tuple[list[str], Before]:
    """Nothing is wrong."""
    return command, None


class Node:
    """A cluster of one, as a process."""

    def __init__(self, directory: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.cluster = Cluster(name="lone", nodes=(NodeAddress("node1", self.url),))
        self.data = directory / "data"
        self._directory = directory
        config = directory / "cluster.yaml"
        config.write_text(render_yaml(self.cluster), encoding="utf-8")
        options = ["--cluster", str(config), "--listen", f"127.0.0.1:{port}", "--data-dir", str(self.data)]
        self._command = [sys.executable, "-m", "lockmanager_node", *options]

    @contextmanager
    def running(self, how: Command) -> Iterator[subprocess.Popen[str]]:
        command, before = how(self._command, self._directory)
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=before,
        )
        with Ending(process):
            yield process

    def kept(self, data: Path | None = None) -> Contents:
        """What the journal of a node holds that does not run, or a copy of its data directory."""
        return contents(data or self.data, owner(self.cluster, "node1"))


def acquire(number: int) -> Acquire:
    token = Token(f"{number:0{TOKEN_LENGTH}}")
    name = f"orders/{number}"
    return Acquire(token, Space.QUORUM, name, SystemClock().wall(), 600_000_000, Mode.EXCLUSIVE, False, "a client")


async def answered(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_DEADLINE):
        while True:
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.005)  # nothing tells when it listens
