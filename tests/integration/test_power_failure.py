"""The power fails right after an answer: what was acknowledged is on the disk, and not in the machine's memory only.

The node writes to a file system of its own, which lies in a file. What was written and never synced is in the memory of
the machine; that file is what is left of the disk when the power fails.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import pytest

from lockmanager.wire import Granted, Raise, Raised, Renew, Renewed, UpMessage
from lockmanager_node.records import LeaseRecord
from tests.integration.lone_node import Node, acquire, answered, whole
from tests.support.raw_session import RawSession, raw_session

_Answer = TypeVar("_Answer", Granted, Raised, Renewed)

pytestmark = pytest.mark.processes

SIZE: Final = 8 << 20
"""Bytes of the disk, few because each power failure copies them."""

DEADLINE: Final = 20.0
"""Seconds a command may take."""

LONGER: Final = 1_200_000_000
"""Microseconds of a renewal, twice those of the lease."""


def run(*command: str | Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{command[0]} failed: {error.stderr.strip()}") from None


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    run("mount", "-t", "ext4", "-o", "loop", image, at)
    try:
        yield at
    finally:
        run("umount", at)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk in a file; skips the test where none can be made or mounted."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE)
    try:
        run("mkfs.ext4", "-q", "-F", image)
        with mounted(image, tmp_path / "tried"):
            pass
    except OSError as error:
        pytest.skip(f"a disk of its own needs root, mkfs.ext4 and a loop device: {error}")
    return image


class Power:
    """A node on a disk, whose power can fail as often as we like: each failure has a copy of the disk."""

    def __init__(self, node: Node, image: Path, directory: Path) -> None:
        self._node = node
        self._image = image
        self._directory = directory
        self._failures = 0

    def left(self) -> dict[str, LeaseRecord]:
        """Return the leases, by their tokens, that are left if the power fails now."""
        self._failures += 1
        copy = self._directory / f"failure {self._failures}"
        shutil.copyfile(self._image, copy)
        with mounted(copy, copy.with_suffix(".mounted")) as disk:
            records = self._node.kept(disk / "data").records.values()
        return {record.token: record for record in records if isinstance(record, LeaseRecord)}


async def asked(session: RawSession, request: UpMessage, expected: type[_Answer]) -> _Answer:
    """Send a request and wait for what is said to it."""
    await session.send(request)
    while True:
        frame = await session.frame()
        assert frame is not None, "the node ended"
        if frame.messages:
            (answer,) = frame.messages
            assert isinstance(answer, expected)
            return answer


async def test_whatever_a_node_acknowledged_is_left_when_the_power_fails_right_then(
    tmp_path: Path, image: Path
) -> None:
    with mounted(image, tmp_path / "disk of the node") as disk:
        node = Node(disk)
        power = Power(node, image, tmp_path)
        async with aiohttp.ClientSession() as http:
            with node.running(whole):
                await answered(http, node.url)
                async with raw_session(http, node.url, node.cluster.fingerprint, "s" * 32) as session:
                    wanted = [acquire(number) for number in range(3)]
                    for number, request in enumerate(wanted, 1):
                        granted = await asked(session, request, Granted)
                        assert power.left().keys() == {earlier.token for earlier in wanted[:number]}
                    before = power.left()[granted.token]
                    raised = await asked(session, Raise(granted.token, granted.fence + 1_000), Raised)
                    assert power.left()[granted.token].fence == raised.fence == before.fence + 1_000
                    await asked(session, Renew(granted.token, LONGER), Renewed)
                    assert power.left()[granted.token].deadline > before.deadline
