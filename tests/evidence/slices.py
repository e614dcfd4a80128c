"""Run one slice of a part in a process of its own, and stop it without leaving anything of it behind.

The process writes its record to a file when it is complete, and nothing before: a slice counts whole or not at all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import msgspec

from tests.evidence.parts import Part
from tests.evidence.record import Record

STOP_GRACE: Final = 20.0
"""Seconds a slice is given to take down what it started, before it is killed."""

_ROOT: Final = Path(__file__).parents[2]


class SliceFailed(Exception):
    """A slice that ended without a record, and why."""


class SliceStopped(Exception):
    """A slice that was stopped before it was complete."""


@dataclass(frozen=True)
class Slice:
    """One slice to run: it may write below `directory` only, which goes when it has passed."""

    part: Part
    seconds: float
    seed: int
    directory: Path

    @property
    def limit(self) -> float:
        """Seconds after which it is taken for hung."""
        return 5 * self.seconds + 1_800

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def command(self, *more: str) -> list[str]:
        """Return what runs it again, after the name of the interpreter."""
        words = ["slice", self.part.module, "--seconds", f"{self.seconds:g}", "--seed", str(self.seed), *more]
        return ["-m", "tests.evidence", *words]

    async def run(self, stop: asyncio.Event) -> Record:
        """Return its record; raises SliceFailed, and SliceStopped when `stop` came before it was complete."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        status = await self._process(stop)
        record = _read(self.directory / "record.json")
        if status != 0 or record is None:
            self._say_why(status, stopped=stop.is_set())
        elif not record.violations:
            shutil.rmtree(self.directory)
        return record

    async def _process(self, stop: asyncio.Event) -> int | None:
        """Return the exit status; None when it took too long or was stopped."""
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command("--directory", str(self.directory)),
                cwd=_ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ends = [asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(ends, timeout=self.limit, return_when=asyncio.FIRST_COMPLETED)
            return process.returncode
        finally:
            await _stop(process)
            for end in ends:
                end.cancel()

    def _say_why(self, status: int | None, *, stopped: bool) -> NoReturn:
        if stopped:
            shutil.rmtree(self.directory)
            raise SliceStopped(f"{self.part.name}: stopped")
        how = f"not done after {self.limit:.0f} s" if status is None else f"status {status}"
        raise SliceFailed(f"{how}: {_last_line(self.log)}")


def run_here(part: Part, seconds: float, seed: int, directory: Path) -> Record:
    """Run a slice in this process; SIGTERM unwinds it like an interrupt, so that it takes down what it started."""
    signal.signal(signal.SIGTERM, _unwind)
    work = directory / "work"
    work.mkdir(parents=True, exist_ok=True)
    record = part.load()(seconds=seconds, seed=seed, directory=work)
    unfinished = directory / "record.unfinished"
    unfinished.write_bytes(msgspec.json.encode(record))
    unfinished.replace(directory / "record.json")
    return record


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the slice and whatever of its process group is left."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_GRACE)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def _read(path: Path) -> Record | None:
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
