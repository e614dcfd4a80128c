"""What the locks guard: a counter per lock, once with the fence check and once without, in a process nobody disturbs.

Every request goes to both, so the same workload tells what the check is worth. A read-modify-write shows its fence
already when it reads: otherwise an old holder could write unnoticed between the next one's read and its write.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

KINDS: Final = ("checked", "unchecked")


class Counter:
    """The counter of one lock; `refused` of its accesses came with a fence that was too small."""

    def __init__(self, *, checked: bool) -> None:
        self.value = 0
        self.accepted = 0
        self.refused = 0
        self._checked = checked
        self._last = 0
        self._last_exclusive = 0

    @property
    def lost(self) -> int:
        """How many accepted writes, each meant to add one, the value does not show."""
        return self.accepted - self.value

    def read(self, fence: int, *, shared: bool = False) -> int | None:
        """Return the value, or None for a fence that is too small."""
        return self.value if self._admits(fence, shared=shared) else None

    def write(self, value: int, fence: int) -> bool:
        """Take the value, unless the fence is too small."""
        if not self._admits(fence, shared=False):
            return False
        self.value = value
        self.accepted += 1
        return True

    def _admits(self, fence: int, *, shared: bool) -> bool:
        """Compare and keep a fence, in one step: the whole check."""
        if self._checked and fence < (self._last_exclusive if shared else self._last):
            self.refused += 1
            return False
        self._last = max(self._last, fence)
        if not shared:
            self._last_exclusive = max(self._last_exclusive, fence)
        return True


class Totals(NamedTuple):
    """What became of all accesses to one resource."""

    accepted: int
    refused: int
    lost: int
    values: dict[str, int]


class Resource:
    """Both counters of every lock, by kind."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[str, Counter]] = {kind: {} for kind in KINDS}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request says, with each kind of resource."""
        match request:
            case {"do": "read", "lock": lock, "fence": fence, "shared": shared}:
                return {kind: self._counter(kind, lock).read(fence, shared=shared) for kind in KINDS}
            case {"do": "write", "lock": lock, "fence": fence, "values": values}:
                return {kind: self._counter(kind, lock).write(value, fence) for kind, value in values.items()}
            case {"do": "report"}:
                return {kind: self._totals(kind) for kind in KINDS}
        raise ValueError(f"a resource can read, write and report; it was asked {request!r}")

    def _counter(self, kind: str, lock: str) -> Counter:
        return self._counters[kind].setdefault(lock, Counter(checked=kind == "checked"))

    def _totals(self, kind: str) -> Totals:
        counters = self._counters[kind]
        return Totals(
            accepted=sum(counter.accepted for counter in counters.values()),
            refused=sum(counter.refused for counter in counters.values()),
            lost=sum(counter.lost for counter in counters.values()),
            values={lock: counter.value for lock, counter in counters.items()},
        )


class ResourceConnection:
    """A client's connection to the resource. Several tasks may use it; none may be cancelled while it does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> ResourceConnection:
        with _short(path) as address:
            return cls(*await asyncio.open_unix_connection(address))

    async def read(self, lock: str, fence: int, *, shared: bool = False) -> dict[str, int | None]:
        """Return the value for each kind of resource, None where the fence was refused."""
        return await self._ask(do="read", lock=lock, fence=fence, shared=shared)

    async def write(self, lock: str, fence: int, values: dict[str, int]) -> dict[str, bool]:
        """Return for each kind of resource in `values` whether it took the value."""
        return await self._ask(do="write", lock=lock, fence=fence, values=values)

    async def report(self) -> dict[str, Totals]:
        """Return the totals of each kind of resource."""
        return {kind: Totals(*totals) for kind, totals in (await self._ask(do="report")).items()}

    async def _ask(self, **request: object) -> dict[str, Any]:
        async with self._turn:
            self._writer.write(json.dumps(request).encode() + b"\n")
            line = await self._reader.readline()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._writer.close()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of the path that fits into the address of a socket, which takes about a hundred bytes."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def serve(path: Path) -> None:
    """Answer requests on a socket in the file system, until the standard input ends; says so when it listens."""
    resource = Resource()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # a client that was killed
            while line := await reader.readline():
                writer.write(json.dumps(resource.answer(json.loads(line))).encode() + b"\n")
        writer.close()

    with _short(path) as address:
        server = await asyncio.start_unix_server(attend, address)
    async with server:
        print(json.dumps({"listening": str(path)}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
