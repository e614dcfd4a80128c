"""A node whose disk is full stops and says so; whoever waited for what it could not write was given nothing."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from lockmanager.clock import SystemClock
from lockmanager.testing.local_cluster import free_ports
from lockmanager.topology import Cluster, NodeAddress, render_yaml
from lockmanager.wire import TOKEN_LENGTH, Acquire, Granted, Mode, Space, Token
from lockmanager_node.waking import owner
from tests.support.cli import Ending, environment
from tests.support.fault_injection import require_strace
from tests.support.journal_cases import contents
from tests.support.raw_session import RawSession, raw_session

pytestmark = pytest.mark.processes

REPOSITORY: Final = Path(__file__).parents[2]
EX_IOERR: Final = 74
START_DEADLINE: Final = 20.0
STOP_DEADLINE: Final = 20.0
MOST_LEASES: Final = 1_000
LARGEST_FILE: Final = 100_000
FIRST_WRITE_THAT_FAILS: Final = 60

Before = Callable[[], None] | None
"""What the child does before it becomes the node."""

Command = Callable[[list[str], Path], tuple[list[str], Before]]


def limited(command: list[str], _directory: Path) -> tuple[list[str], Before]:
    """No file may grow beyond a limit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))

    return command, limit


def full(command: list[str], directory: Path) -> tuple[list[str], Before]:
    """From some write on there is no space."""
    require_strace()
    inject = f"inject=pwrite64:error=ENOSPC:when={FIRST_WRITE_THAT_FAILS}+"
    trace = ["strace", "-f", "--seccomp-bpf", "-o", str(directory / "trace"), "-e", "trace=pwrite64", "-e", inject]
    return [*trace, *command], None


def whole(command: list[str], _directory: Path) -> tuple[list[str], Before]:
    """Nothing is wrong."""
    return command, None


class Node:
    """A cluster of one, as a process."""

    def __init__(self, directory: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.cluster = Cluster(name="full", nodes=(NodeAddress("node1", self.url),))
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

    @property
    def tokens(self) -> set[str]:
        """The tokens of all leases in the journal of a node that does not run."""
        records = contents(self.data, owner(self.cluster, "node1")).records
        return {record.token for record in records.values() if hasattr(record, "token")}


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


async def acquire_until_it_ends(session: RawSession) -> tuple[set[str], str]:
    """Acquire one lock after the other; returns whose tokens were granted, and the last one that was asked for."""
    granted: set[str] = set()
    for number in range(MOST_LEASES):
        wanted = acquire(number)
        await session.send(wanted)
        while wanted.token not in granted:
            frame = await session.frame()
            if frame is None:
                return granted, wanted.token
            granted |= {answer.token for answer in frame.messages if isinstance(answer, Granted)}
    raise AssertionError(f"{MOST_LEASES} leases were granted on a full disk")


@pytest.mark.parametrize("how", [limited, full], ids=["limit", "no space"])
async def test_a_node_whose_disk_is_full_stops_and_has_given_nothing_it_did_not_write(
    tmp_path: Path, how: Command
) -> None:
    node = Node(tmp_path)
    async with aiohttp.ClientSession() as http:
        with node.running(how) as process:
            await answered(http, node.url)
            async with raw_session(http, node.url, node.cluster.fingerprint, "s" * 32) as session:
                granted, last = await acquire_until_it_ends(session)
            status = await asyncio.to_thread(process.wait, STOP_DEADLINE)
            assert process.stderr is not None
            said = process.stderr.read().splitlines()[-1]
        assert (status, len(granted) > 5, last in granted) == (EX_IOERR, True, False)
        assert said.startswith(f"lockmanager: this node stopped: the journal {node.data / 'journal.db'} cannot be ")
        assert node.tokens >= granted
        with node.running(whole):
            await answered(http, node.url)
            async with raw_session(http, node.url, node.cluster.fingerprint, "s" * 32) as session:
                for number in range(len(granted)):
                    await session.send(acquire(number))
                    frame = await session.frame()
                    assert frame is not None
                    assert [getattr(answer, "resent", None) for answer in frame.messages] == [True]
