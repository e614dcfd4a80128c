"""What every state-changing request is checked for: the node's limits, durations, and whether the node may act."""

from __future__ import annotations

import math
from typing import Final

from lockmanager.durations import microseconds, seconds
from lockmanager.wire import Rejected, State

from ..limits import Excess, Limits, check_ttl
from ..service import Service
from .problems import Problem, bad_field

LONGEST_WAIT: Final = 3600.0
"""The most seconds a request may wait for a lock."""

RETRY_AFTER: Final = {"Retry-After": "1"}

_CROWDED: Final = frozenset({"leases", "waiters"})


def require(excess: Excess | None) -> None:
    """Raise the limit that a request breaks as a problem, if it breaks one."""
    if excess is not None:
        raise bad_field(excess.code, excess.detail)


def rejected(answer: Rejected) -> Problem:
    """Return the problem for what the table rejected: 429 when it is full, 400 otherwise."""
    if answer.code in _CROWDED:
        return Problem(429, answer.code, answer.detail, headers=RETRY_AFTER)
    return bad_field(answer.code, answer.detail)


def ttl(value: float, limits: Limits, field: str = "ttl") -> int:
    """Return a ttl of so many seconds in microseconds; raises Problem, naming `field`, outside the node's limits."""
    micros = _microseconds(value, field)
    excess = check_ttl(micros, limits)
    if excess is not None:
        raise bad_field(field, excess.detail if field == excess.code else f"{field}: {excess.detail}")
    return micros


def wait(value: float, field: str = "wait") -> float:
    """Return a wait in seconds; raises Problem, naming `field`, when it is negative or above an hour."""
    if 0 <= value <= LONGEST_WAIT:
        return value
    raise bad_field(field, f"{field} is 0 to {LONGEST_WAIT:g} s; this one is {value:g} s")


def require_ready(service: Service) -> None:
    """Raise the 503 of a node that does not grant now."""
    problem = unready(service)
    if problem is not None:
        raise problem


def unready(service: Service) -> Problem | None:
    """Return why this node does not grant now, or None when it does."""
    if service.ready:
        return None
    readiness = service.readiness
    if readiness.state is State.RECOVERING:
        remaining = seconds(readiness.remaining)
        headers = {"Retry-After": str(max(1, math.ceil(remaining)))}
        detail = readiness.reason or "this node recovers"
        return Problem(503, "recovering", detail, headers=headers, members={"remaining": remaining})
    return stopping()


def stopping(reason: str = "") -> Problem:
    """Return the 503 of a node that stops."""
    return Problem(503, "stopping", reason or "this node is stopping: ask another one", headers=RETRY_AFTER)


def _microseconds(value: float, field: str) -> int:
    try:
        return microseconds(value)
    except (ValueError, OverflowError):
        raise bad_field(field, f"{field}: {value} is not a usable number of seconds") from None
