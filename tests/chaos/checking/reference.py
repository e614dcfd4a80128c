"""A lock that is correct because it is simple, and the counter it guards: what generated histories are made with.

Time is an argument, in the nanoseconds of the history.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.chaos.history import Mode


@dataclass(slots=True, eq=False)
class Request:
    """One acquisition as the lock sees it; `deadline` is 0 until it is granted."""

    mode: Mode
    ticket: int
    ttl: int
    fence: int = 0
    deadline: int = 0


@dataclass(slots=True)
class ReferenceLock:
    """Grants in order of arrival, exclusively or to several readers, each until its deadline."""

    held: list[Request] = field(default_factory=list)
    line: list[Request] = field(default_factory=list)
    last: int = 0
    last_exclusive: int = 0

    def ask(self, request: Request, now: int) -> None:
        """Join the line."""
        self.line.append(request)
        self.advance(now)

    def renew(self, request: Request, now: int) -> bool:
        """Extend a lease, if it still stands."""
        self.advance(now)
        if request in self.held:
            request.deadline = now + request.ttl
            return True
        return False

    def end(self, request: Request, now: int) -> None:
        """Give back a lease or a place in line; no error if it is over."""
        self.held = [one for one in self.held if one is not request]
        self.line = [one for one in self.line if one is not request]
        self.advance(now)

    def advance(self, now: int) -> None:
        """End what ran out and grant what can be."""
        self.held = [one for one in self.held if one.deadline > now]
        while self.line and self._is_free_for(self.line[0]):
            self._grant(self.line.pop(0), now)

    def _is_free_for(self, request: Request) -> bool:
        return not self.held or (request.mode == "shared" and all(one.mode == "shared" for one in self.held))

    def _grant(self, request: Request, now: int) -> None:
        before = self.last if request.mode == "exclusive" else self.last_exclusive
        request.fence = max(request.ticket, before + 1)
        request.deadline = now + request.ttl
        self.last = max(self.last, request.fence)
        if request.mode == "exclusive":
            self.last_exclusive = request.fence
        self.held.append(request)


@dataclass(slots=True)
class ReferenceCounter:
    """A value that only the newest fence may touch; readers need not be newer than each other."""

    value: int = 0
    last: int = 0
    last_exclusive: int = 0

    def read(self, fence: int, mode: Mode) -> int | None:
        """Return the value, or None for a stale fence."""
        return self.value if self._admits(fence, mode) else None

    def write(self, value: int, fence: int) -> bool:
        """Take a value, unless the fence is stale."""
        if not self._admits(fence, "exclusive"):
            return False
        self.value = value
        return True

    def _admits(self, fence: int, mode: Mode) -> bool:
        if fence < (self.last if mode == "exclusive" else self.last_exclusive):
            return False
        self.last = max(self.last, fence)
        if mode == "exclusive":
            self.last_exclusive = max(self.last_exclusive, fence)
        return True
