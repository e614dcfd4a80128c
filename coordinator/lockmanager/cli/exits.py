"""What the exit statuses mean, and which error becomes which: the one place that knows. Pure.

They follow sysexits.h and the shells. 79 is the first number above sysexits.h: a lease was lost.
"""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    AccessDenied,
    ClusterMismatch,
    ConfigurationError,
    LeaseLost,
    LockManagerError,
    NotAcquired,
    ProtocolMismatch,
    QuorumUnavailable,
    RequestRejected,
)

SIGNALLED = 128
"""Added to the number of the signal that ended a command or its child."""


class Exit(IntEnum):
    """The exit statuses of our own; `run` passes its child's on."""

    OK = 0
    FAILED = 1
    USAGE = 64
    UNAVAILABLE = 69
    NOT_ACQUIRED = 75
    DENIED = 77
    CONFIG = 78
    LOST = 79
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


_STATUSES: tuple[tuple[type[LockManagerError], Exit], ...] = (
    (NotAcquired, Exit.NOT_ACQUIRED),
    (QuorumUnavailable, Exit.UNAVAILABLE),
    (LeaseLost, Exit.LOST),
    (RequestRejected, Exit.USAGE),
    (AccessDenied, Exit.DENIED),
    (ClusterMismatch, Exit.CONFIG),
    (ProtocolMismatch, Exit.CONFIG),
    (ConfigurationError, Exit.CONFIG),
)


def status_of(error: LockManagerError) -> Exit:
    """Return the exit status for an error of the library."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), Exit.FAILED)


def child_status(wait_status: int) -> int:
    """Return a shell's exit status for what `waitpid` told: the child's own, or 128 + the signal that killed it."""
    if wait_status & 0x7F:
        return SIGNALLED + (wait_status & 0x7F)
    return wait_status >> 8
