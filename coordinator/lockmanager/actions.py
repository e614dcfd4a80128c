"""The vocabulary of an acquisition: what is asked for, what to do next, and how it can end. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from .durations import MICROSECONDS
from .wire import Acquire, Mode, Raise, Release, Renew, Space, Yield

FIRST_TTL: Final = 30 * MICROSECONDS
"""The longest ttl asked for before a majority grants; a longer one is renewed to afterwards."""

NODE_TIMEOUT: Final = 300_000
"""How long a silent node is waited for before it counts as unreachable."""


REJECTED_PAUSE: Final = MICROSECONDS
"""How long after a rejection a node is asked again by one who waits or holds."""


class Phase(Enum):
    """Where an acquisition is."""

    WAITING = auto()
    APART = auto()
    HELD = auto()
    LOST = auto()
    OVER = auto()


class Request(msgspec.Struct, frozen=True):
    """What is asked for. `wait` lets nodes queue it; `patient` waits for nodes that are down."""

    space: Space
    name: str
    mode: Mode
    ttl: int
    ticket: int
    label: str
    nodes: tuple[str, ...]
    wait: bool
    deadline: int | None
    patient: bool = True
    node_timeout: int = NODE_TIMEOUT

    def is_over(self, now: int) -> bool:
        """Say whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send this message to this node."""

    node: str
    message: Acquire | Yield | Raise | Renew | Release


class Held(msgspec.Struct, frozen=True, gc=False):
    """The lock is held."""

    fence: int


class Failure(Enum):
    """Why an acquisition failed."""

    HELD = auto()
    TIMEOUT = auto()
    UNREACHABLE = auto()
    REJECTED = auto()
    REFUSED_LINK = auto()


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The lock was not acquired; the ballot knows the details."""

    failure: Failure


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The lease ends without having been released: tell the holder, who may rely on it until validity ends."""

    reason: str


class Apart(msgspec.Struct, frozen=True, gc=False):
    """Everything was released; `start` again with a new token, after a short random pause when `split`."""

    split: bool


Action = Send | Held | Failed | Lost | Apart
