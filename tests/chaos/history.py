"""What clients did, as they saw it themselves: one line of JSON per event, kept even when the client is killed.

An **operation** runs from its `begin` event to its end event (`ok`, `fail` or `ambiguous`) with the same client and
`op`. An operation that never ends is ambiguous: it may have taken effect at any instant after its begin, or never.
Ambiguous stays ambiguous; nothing counts it as success or as failure.

- `acquire`: `ok` carries `fence` and `until`. `fail` means that the caller surely holds nothing. A client that was
  killed or gave up without an answer leaves it ambiguous: it may have held from `begin` until a ttl after the last
  instant at which it can have been granted, or not at all.
- `release`: carries the `fence` of its lease. Its `begin` is noted before anything is sent: from then on the client
  relies on nothing. `fail` means that it surely had no effect.
- `lost`: one single event (phase `ok`, the `fence` of its lease, an `op` of its own), noted as soon as the client is
  told.
- `read` and `write` go to the resource that the lock of the same name guards: a counter that begins at 0 and keeps the
  fences it was shown, by reads as well as by writes: it refuses an exclusive access below any of them, and a shared one
  below an exclusive one (readers need not exceed each other). Both carry the `fence` of the lease. `ok` is an access
  that was accepted: at its end a read carries the `value` it saw; a write carries, at its `begin`, the value it wants,
  one more than the value that this lease read or wrote last. `fail` is one refused for its fence, without any effect.
  A `read` without a fence looks and shows none: whoever judges the end of a run reads so, once nobody writes any more.

A **client** is one thread of control: it holds a lock at most once at a time, so several tasks of one process are
several clients, and a process that is started again is a new one.

**`until`** is an instant of the clock of `at`: until then the client may rely on its lease. `acquire`/`ok` carries it,
and `release`/`begin` carries a later one if the lease was renewed. When the lease is over already, both leave it at 0,
as there is no such instant; "now" would claim too much.
"""

from __future__ import annotations

import os
import time
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import msgspec

Kind: TypeAlias = Literal["acquire", "release", "lost", "write", "read"]
Phase: TypeAlias = Literal["begin", "ok", "fail", "ambiguous"]
Mode: TypeAlias = Literal["exclusive", "shared"]

SUFFIX: Final = ".events.jsonl"
FOREVER: Final = 2**63 - 1
"""Later than any instant of `now`."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that one client saw; `at` and `until` are nanoseconds of `now`."""

    at: int
    client: str
    op: int
    kind: Kind
    phase: Phase
    lock: str
    mode: Mode = "exclusive"
    fence: int = 0
    value: int = 0
    until: int = 0
    note: str = ""


class BrokenHistory(Exception):
    """The record itself is damaged, so that nothing can be said about the locks."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All events of all clients, in order of `at`.

    `torn` counts last lines that their client did not finish. What such a line would have said is not known, so the
    clients of its file are only vouched for up to the line before: `cut` has that instant for each of them.
    """

    events: list[Event]
    files: int = 1
    torn: int = 0
    cut: dict[str, int] = {}


def now() -> int:
    """Read the clock that all processes of one machine share: nanoseconds of CLOCK_MONOTONIC."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Recorder:
    """Appends the events of one process to a file of its own; each is flushed before `append` returns.

    A killed process loses at most the line it was writing; only a machine that stops loses more.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """Begin the file of `name`, which nobody else may have used in this directory: FileExistsError otherwise."""
        self.path = directory / f"{name}{SUFFIX}"
        self._file = self.path.open("xb", buffering=0)
        self._encode = msgspec.json.Encoder().encode

    def append(self, event: Event) -> None:
        """Write one event; OSError when it could not be written whole."""
        line = self._encode(event) + b"\n"
        written = self._file.write(line)
        if written != len(line):
            raise OSError(f"{self.path} took {written} of {len(line)} bytes: is the disk full?")

    def flush(self) -> None:
        """Wait until the events are on disk: needed only where the machine itself may stop."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_history(directory: Path) -> History:
    """Read what all processes wrote there and merge it in order of `at`.

    BrokenHistory for a line that is no event, unless it is the unfinished last one of its file, and for a directory
    without any file.
    """
    paths = sorted(directory.glob(f"*{SUFFIX}"))
    if not paths:
        raise BrokenHistory(f"no *{SUFFIX} in {directory}: did the clients start?")
    events: list[Event] = []
    cut: dict[str, int] = {}
    torn = 0
    for path in paths:
        whole, is_torn = _read_file(path)
        events += whole
        torn += is_torn
        if is_torn and whole:
            cut |= {event.client: max(other.at for other in whole) for event in whole}
    events.sort(key=attrgetter("at"))
    return History(events=events, files=len(paths), torn=torn, cut=cut)


def _read_file(path: Path) -> tuple[list[Event], bool]:
    """Return the events of one file, and whether its last line is torn."""
    lines = path.read_bytes().split(b"\n")
    last = lines.pop()
    decode = msgspec.json.Decoder(Event).decode
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(decode(line))
        except ValueError as error:
            raise BrokenHistory(f"line {number} of {path} is no event ({error}): {line[:80]!r}") from error
    if last:
        try:
            events.append(decode(last))
        except ValueError:
            return events, True
    return events, False
