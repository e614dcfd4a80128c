"""Whether this node may grant yet, after it was started. A node in memory serves at once."""

from __future__ import annotations

from dataclasses import dataclass

from lockmanager.wire import State


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` and the welcome of a session say."""

    state: State
    reason: str = ""


SERVING = Readiness(State.SERVING)
