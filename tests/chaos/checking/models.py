"""What a lock is, three times over, each as a function from a state and one step to the next state.

A state is a hashable value. A step that a model does not allow in a state gives `None`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from tests.chaos.history import FOREVER

NOBODY: Final = -1
UNOWNED: Final = -2
StepKind: TypeAlias = Literal["acquire", "release", "expire"]


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that took effect at one instant between `begin` and `end`; or, if that is FOREVER, perhaps not at all.

    `lease` tells the leases of one slice apart; UNOWNED is one that the client never acquired. An `expire` is no
    operation of a client: the lock may end a lease that ran out.
    """

    kind: StepKind
    lease: int
    begin: int
    end: int = FOREVER
    exclusive: bool = True
    fence: int = 0

    def fence_after(self, last: int) -> int:
        """Return the fence that was given; of an ambiguous acquisition, which tells none, the smallest possible."""
        return last + 1 if self.end == FOREVER and not self.fence else self.fence


class Start(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a lock at one instant: who holds it exclusively, if anybody, and the largest fences given."""

    holder: int = NOBODY
    last_exclusive: int = 0
    last: int = 0


class Model(Protocol):
    """A sequential lock."""

    def begin(self, start: Start) -> Hashable:
        """Return the state from which a slice starts."""
        ...

    def take(self, state: Hashable, step: Step) -> Hashable | None:
        """Return the state after a step, or None when the lock does not allow it."""
        ...


class Mutex:
    """At most one owner, and only the owner's release or its lease's end frees the lock. The state is the owner."""

    def begin(self, start: Start) -> Hashable:
        return start.holder

    def take(self, state: Hashable, step: Step) -> Hashable | None:
        if step.kind == "acquire":
            return step.lease if state == NOBODY else None
        if state == step.lease:
            return NOBODY
        return state if step.kind == "release" else None


class FencedMutex:
    """A mutex whose every owner gets a larger fence than all before. The state is the owner and the last fence."""

    def begin(self, start: Start) -> Hashable:
        return start.holder, start.last

    def take(self, state: Hashable, step: Step) -> Hashable | None:
        assert isinstance(state, tuple)
        owner, last = state
        if step.kind == "acquire":
            fence = step.fence_after(last)
            return (step.lease, fence) if owner == NOBODY and fence > last else None
        if owner == step.lease:
            return NOBODY, last
        return state if step.kind == "release" else None


class SharedExclusive:
    """One exclusive holder or many shared ones; a fence exceeds those before it that its lease could not be beside.

    The state is the exclusive holder, the shared ones, the last exclusive fence and the last of all.
    """

    def begin(self, start: Start) -> Hashable:
        return start.holder, frozenset[int](), start.last_exclusive, start.last

    def take(self, state: Hashable, step: Step) -> Hashable | None:
        assert isinstance(state, tuple)
        holder, readers, last_exclusive, last = state
        if step.kind == "acquire" and step.exclusive:
            fence = step.fence_after(last)
            return (step.lease, readers, fence, fence) if holder == NOBODY and not readers and fence > last else None
        if step.kind == "acquire":
            fence = step.fence_after(last_exclusive)
            free = holder == NOBODY and fence > last_exclusive
            return (holder, readers | {step.lease}, last_exclusive, max(last, fence)) if free else None
        if holder == step.lease:
            return NOBODY, readers, last_exclusive, last
        if step.lease in readers:
            return holder, readers - {step.lease}, last_exclusive, last
        return state if step.kind == "release" else None
