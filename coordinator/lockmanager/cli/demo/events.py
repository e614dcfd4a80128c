"""What happens in the demonstration, as the processes tell it: one JSON line each. Pure.

Instants are microseconds of the machine's steady clock, which all its processes share. An instant is taken before
the step it stands for is begun (`asked`, an end) or after it is done (`granted`), so that two holds that overlap in
the records may have overlapped in truth, and two that do not, did not.
"""

from __future__ import annotations

import msgspec


class _Event(msgspec.Struct, frozen=True, tag=True):
    at: int


class Held(_Event, frozen=True):
    """A worker got the lock; `at` is when it learned so."""

    worker: str
    process: str
    ticket: int
    fence: int
    asked: int

    @property
    def waited(self) -> int:
        """How long it waited."""
        return self.at - self.asked


class Wrote(_Event, frozen=True):
    """A worker tried to write under its fence; `planted` when it had slept past its lease on purpose."""

    worker: str
    fence: int
    accepted: bool
    planted: bool


class Ended(_Event, frozen=True):
    """A worker is about to release the lock."""

    worker: str
    fence: int


class Lost(_Event, frozen=True):
    """A worker learned that its lease was lost."""

    worker: str
    fence: int


class Paused(_Event, frozen=True):
    """A process is about to stand still, one of its workers holding the lock."""

    worker: str
    process: str
    fence: int


class Resumed(_Event, frozen=True):
    """A process goes on."""

    process: str


class NodeKilled(_Event, frozen=True):
    """A node was killed."""

    node: str


class NodeStarted(_Event, frozen=True):
    """A node is ready again."""

    node: str


Event = Held | Wrote | Ended | Lost | Paused | Resumed | NodeKilled | NodeStarted

_decoder = msgspec.json.Decoder(Event)


def to_line(event: Event) -> bytes:
    """Return the event as one line."""
    return msgspec.json.encode(event) + b"\n"


def from_line(line: bytes) -> Event:
    """Read an event; raises msgspec.MsgspecError."""
    event: Event = _decoder.decode(line)
    return event
