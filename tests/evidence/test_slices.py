"""A slice in a process of its own: it counts whole or not at all, says why it failed, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.evidence.fake import BEHAVIOUR, FAKE, WAITS, found
from tests.evidence.parts import Part
from tests.evidence.slices import Slice, SliceFailed, SliceStopped


class Impatient(Slice):
    """A slice that is taken for hung soon."""

    @property
    def limit(self) -> float:
        return 0.1


def one(tmp_path: Path, part: Part = FAKE) -> Slice:
    return Slice(part, seconds=1, seed=5, directory=tmp_path / "slice")


async def test_a_complete_slice_gives_its_record_and_leaves_no_files(tmp_path: Path) -> None:
    assert await one(tmp_path).run(asyncio.Event()) == found()
    assert os.listdir(tmp_path) == []


async def test_a_slice_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEHAVIOUR, "no network namespaces here")
    with pytest.raises(SliceFailed, match="status 2: evidence: no network namespaces here"):
        await one(tmp_path).run(asyncio.Event())


async def test_a_part_that_is_not_there_fails_by_name(tmp_path: Path) -> None:
    with pytest.raises(SliceFailed, match=r"No module named 'tests\.nowhere'"):
        await one(tmp_path, Part("gone", "tests.nowhere", "Gone", ())).run(asyncio.Event())


async def test_a_stopped_slice_ends_with_everything_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEHAVIOUR, WAITS)
    waiting, stop = one(tmp_path), asyncio.Event()
    running = asyncio.create_task(waiting.run(stop))
    child = await written(waiting.directory / "work" / "child")
    stop.set()
    with pytest.raises(SliceStopped):
        await running
    async with asyncio.timeout(30):
        while runs(child):  # noqa: ASYNC110 - nobody tells when it is gone
            await asyncio.sleep(0.01)


async def test_a_slice_that_hangs_is_ended_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEHAVIOUR, WAITS)
    with pytest.raises(SliceFailed, match="not done after"):
        await Impatient(FAKE, 1, 5, tmp_path / "slice").run(asyncio.Event())


def runs(pid: int) -> bool:
    """Say whether a process still runs; one that is dead and not yet buried does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def written(path: Path) -> int:
    """Wait until the slice has told the pid of its child."""
    async with asyncio.timeout(30):
        while not (path.exists() and path.read_text(encoding="utf-8")):  # noqa: ASYNC110, ASYNC240 - told by a file
            await asyncio.sleep(0.01)
    return int(path.read_text(encoding="utf-8"))  # noqa: ASYNC240
