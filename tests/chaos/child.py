"""A process of a run that takes orders on its standard input and tells what happens on its output, as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos.namespaces import Namespace, inside
from tests.chaos.undertaker import Undertaker

REPOSITORY: Final = Path(__file__).parents[2]

Said = dict[str, Any]


class Child:
    """The near end. `heard` is called with what it says; it ends when it is told to, or with this process."""

    def __init__(self, process: asyncio.subprocess.Process, heard: Callable[[Said], None]) -> None:
        self._process = process
        self._heard = heard
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        undertaker: Undertaker,
        log: Path,
        heard: Callable[[Said], None],
        namespace: Namespace | None = None,
    ) -> Self:
        """Start `python -m module` in a namespace; what it writes on standard error is added to the log."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *python(module, *arguments, namespace=namespace),
                cwd=REPOSITORY,
                env=environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        undertaker.note_process(process.pid)
        return cls(process, heard)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def order(self, **order: object) -> None:
        """Send an order; nothing happens when the process has ended."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, within: float) -> int | None:
        """Close its input, whereupon it should end, and return its status; None for one that had to be killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            return None
        await self._listening
        return self._process.returncode

    async def kill(self) -> None:
        """End it by SIGKILL; it is gone when this returns."""
        self.signal(signal.SIGKILL)
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.endswith(b"\n"):  # one that was killed may not have finished its last
                self._heard(json.loads(line))


def python(module: str, *arguments: str, namespace: Namespace | None = None) -> Sequence[str]:
    """Return the command that runs a module of this repository."""
    return [*inside(namespace), sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return our environment without settings that are meant for another node or client."""
    return {name: text for name, text in os.environ.items() if not name.startswith("LOCKMANAGER_")}


async def orders() -> asyncio.StreamReader:
    """Return the standard input of a child, to be read a line at a time."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(**said: object) -> None:
    """Tell the harness something, as a child."""
    print(json.dumps(said), flush=True)
