"""A node whose disk is full stops and says so; whoever waited for what it could not write was given nothing."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from lockmanager.wire import Granted
from tests.integration.lone_node import Before, Command, Node, acquire, answered, whole
from tests.support.fault_injection import require_strace
from tests.support.raw_session import RawSession, raw_session

pytestmark = pytest.mark.processes

EX_IOERR: Final = 74
STOP_DEADLINE: Final = 20.0
MOST_LEASES: Final = 1_000
LARGEST_FILE: Final = 100_000
FIRST_WRITE_THAT_FAILS: Final = 60


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
        assert {getattr(record, "token", None) for record in node.kept().records.values()} >= granted
        with node.running(whole):
            await answered(http, node.url)
            async with raw_session(http, node.url, node.cluster.fingerprint, "s" * 32) as session:
                for number in range(len(granted)):
                    await session.send(acquire(number))
                    frame = await session.frame()
                    assert frame is not None
                    assert [getattr(answer, "resent", None) for answer in frame.messages] == [True]
