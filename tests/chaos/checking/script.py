"""Short words for hand-made histories: each makes the events of one operation; instants are small numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.chaos.checking.operations import LockHistory, by_lock
from tests.chaos.history import Event, History, Kind, Mode, Phase

LOCK: Final = "orders"
NEVER: Final = 0


class Who(NamedTuple):
    """A client; its operations are numbered by the instant at which they begin."""

    name: str
    mode: Mode = "exclusive"

    def acquires(self, begin: int, end: int, *, fence: int, until: int, phase: Phase = "ok") -> list[Event]:
        return [self._event("acquire", begin), self._event("acquire", end, phase, begin, fence=fence, until=until)]

    def asks(self, begin: int) -> list[Event]:
        """Acquire, without ever learning the outcome."""
        return [self._event("acquire", begin)]

    def releases(self, begin: int, end: int, *, fence: int, until: int = 0, phase: Phase = "ok") -> list[Event]:
        started = self._event("release", begin, fence=fence, until=until)
        return [started, self._event("release", end, phase, begin, fence=fence)]

    def is_told_of_loss(self, at: int, *, fence: int) -> list[Event]:
        return [self._event("lost", at, "ok", fence=fence)]

    def reads(self, begin: int, end: int, *, fence: int, value: int, phase: Phase = "ok") -> list[Event]:
        return [self._event("read", begin, fence=fence), self._event("read", end, phase, begin, fence, value)]

    def writes(self, begin: int, end: int, *, fence: int, value: int, phase: Phase = "ok") -> list[Event]:
        started = self._event("write", begin, "begin", begin, fence, value)
        return [started, self._event("write", end, phase, begin, fence)]

    def _event(
        self,
        kind: Kind,
        at: int,
        phase: Phase = "begin",
        op: int | None = None,
        fence: int = 0,
        value: int = 0,
        until: int = 0,
    ) -> Event:
        return Event(
            at=at,
            client=self.name,
            op=at if op is None else op,
            kind=kind,
            phase=phase,
            lock=LOCK,
            mode=self.mode,
            fence=fence,
            value=value,
            until=until,
        )


def history(*operations: Iterable[Event], torn: int = 0, cut: dict[str, int] | None = None) -> History:
    """Join operations of any order into a history."""
    events = sorted((event for operation in operations for event in operation), key=lambda event: event.at)
    return History(events=events, torn=torn, cut=cut or {})


def lock_history(*operations: Iterable[Event]) -> LockHistory:
    (found,) = by_lock(history(*operations))
    return found


ALICE: Final = Who("alice")
BOB: Final = Who("bob")
REX: Final = Who("rex", "shared")
RITA: Final = Who("rita", "shared")
JUDGE: Final = Who("judge")
