"""Pairs the events of a history into operations, and the operations of each lock into leases and accesses."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from tests.chaos.checking.verdict import tell
from tests.chaos.history import FOREVER, BrokenHistory, Event, History, Kind, Mode, Phase


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One operation as its client saw it; `end` is FOREVER when it is ambiguous, as it may take effect late."""

    client: str
    op: int
    kind: Kind
    lock: str
    mode: Mode
    outcome: Phase
    begin: int
    end: int
    fence: int
    value: int
    until: int

    def __str__(self) -> str:
        details = f"fence {self.fence}" + (f", value {self.value}" if self.kind in ("read", "write") else "")
        outcome = "" if self.outcome == "ok" else f" ({self.outcome})"
        return f"{self.kind}{outcome} {self.op} of client {self.client} ({details}, {tell(self.begin, self.end)})"


class Lease(msgspec.Struct, gc=False):
    """One acquisition that succeeded, and what ended it; `end` is the last instant at which it was relied on."""

    acquire: Operation
    until: int
    lost: int = FOREVER
    releases: list[Operation] = []

    @property
    def start(self) -> int:
        return self.acquire.end

    @property
    def end(self) -> int:
        given_back = self.releases[0].begin if self.releases else FOREVER
        return min(self.until, self.lost, given_back)

    @property
    def held(self) -> bool:
        """Say whether it still stood when its client learned of it, were it only for that instant."""
        return self.end >= self.start

    @property
    def exclusive(self) -> bool:
        return self.acquire.mode == "exclusive"

    def __str__(self) -> str:
        acquire = self.acquire
        held = tell(self.start, self.end) if self.held else f"over when known of, at {tell(self.start, self.start)}"
        return f"{acquire.mode} lease {acquire.op} of client {acquire.client} (fence {acquire.fence}, {held})"


class Access(msgspec.Struct, frozen=True, gc=False):
    """A read or a write; without a known lease it is `vouched` for if its client's last acquisition is ambiguous."""

    operation: Operation
    lease: Lease | None
    vouched: bool


class LockHistory(msgspec.Struct, gc=False):
    """Everything that was done with one lock and its resource, each list in order of its operations' begin."""

    lock: str
    leases: list[Lease] = []
    ambiguous: list[Operation] = []
    """Acquisitions that nobody knows the outcome of."""
    unowned: list[Operation] = []
    """Releases of a fence that their client can never have held."""
    accesses: list[Access] = []
    operations: int = 0


def by_lock(history: History) -> list[LockHistory]:
    """Sort out a history; BrokenHistory when events contradict each other, which no lock can be blamed for."""
    operations = pair(history.events)
    operations.sort(key=attrgetter("begin"))
    sorters: dict[str, _Sorter] = {}
    for operation in operations:
        sorter = sorters.get(operation.lock)
        if sorter is None:
            sorter = sorters[operation.lock] = _Sorter(operation.lock, history.cut)
        sorter.take(operation)
    return [sorter.found for sorter in sorters.values()]


def pair(events: Iterable[Event]) -> list[Operation]:
    """Join each begin with its end; what has no end is ambiguous."""
    begun: dict[tuple[str, int], Event] = {}
    operations: list[Operation] = []
    for event in events:
        key = (event.client, event.op)
        if event.kind == "lost":
            operations.append(_operation(event, event))
        elif event.phase == "begin":
            if key in begun:
                raise BrokenHistory(f"{_name(event)} begins a second time at {event.at}")
            begun[key] = event
        else:
            begin = begun.pop(key, None)
            if begin is None or _what(begin) != _what(event) or begin.at > event.at:
                raise BrokenHistory(f"{_name(event)} ends at {event.at}; its begin is {begin}")
            operations.append(_operation(begin, event))
    operations += [_operation(begin, None) for begin in begun.values()]
    return operations


def _what(event: Event) -> tuple[Kind, str, Mode]:
    return event.kind, event.lock, event.mode


def _name(event: Event) -> str:
    return f"{event.kind} {event.op} of client {event.client} on lock {event.lock!r}"


def _operation(begin: Event, end: Event | None) -> Operation:
    outcome = end.phase if end else "ambiguous"
    last = end or begin
    return Operation(
        begin.client,
        begin.op,
        begin.kind,
        begin.lock,
        begin.mode,
        outcome,
        begin.at,
        FOREVER if outcome == "ambiguous" else last.at,
        last.fence or begin.fence,
        last.value or begin.value,
        last.until or begin.until,
    )


class _Sorter:
    """Tells which lease each operation of one lock belongs to: the client's newest with that fence."""

    def __init__(self, lock: str, cut: dict[str, int]) -> None:
        self.found = LockHistory(lock)
        self._cut = cut
        self._leases: dict[tuple[str, int], Lease] = {}
        self._unsure: set[str] = set()

    def take(self, operation: Operation) -> None:
        """Take the next operation, in order of their begin."""
        self.found.operations += 1
        match operation.kind:
            case "acquire":
                self._acquire(operation)
            case "release":
                self._release(operation)
            case "lost":
                self._lost(operation)
            case "read" | "write":
                lease = self._lease(operation)
                vouched = lease is not None or operation.client in self._unsure
                self.found.accesses.append(Access(operation, lease, vouched))

    def _lease(self, operation: Operation) -> Lease | None:
        lease = self._leases.get((operation.client, operation.fence))
        if lease and operation.begin < lease.start:
            raise BrokenHistory(f"{operation} begins before its client knows of its {lease}")
        return lease

    def _acquire(self, operation: Operation) -> None:
        self._unsure.discard(operation.client)
        if operation.outcome == "ok":
            lease = Lease(operation, operation.until, self._cut.get(operation.client, FOREVER))
            self._leases[operation.client, operation.fence] = lease
            self.found.leases.append(lease)
        elif operation.outcome == "ambiguous":
            self._unsure.add(operation.client)
            self.found.ambiguous.append(operation)

    def _release(self, operation: Operation) -> None:
        lease = self._lease(operation)
        if lease:
            lease.releases.append(operation)
            lease.until = max(lease.until, operation.until)
        elif operation.client not in self._unsure:
            self.found.unowned.append(operation)

    def _lost(self, operation: Operation) -> None:
        lease = self._lease(operation)
        if lease is None:
            told = f"lost {operation.op} of client {operation.client} on lock {operation.lock!r}"
            raise BrokenHistory(f"{told} names fence {operation.fence}, which that client never got")
        lease.lost = min(lease.lost, operation.begin)
