"""The kinds of faults that strike a run at some instant; the modules that define them are imported by `world`.

Which kinds a run has is drawn from its seed: runs with a few kinds each find more than runs with all of them.
Durations are in microseconds of the true time, and go up to three ttl.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.clockwork import MICROSECONDS

if TYPE_CHECKING:
    from tests.simulation.world import World

Fault = Callable[["World"], bool]
KINDS: Final[dict[str, Fault]] = {}
"""By name; each says whether it happened at once. What waits for its chance is counted when it strikes."""

NOTICED: Final = 2 * MICROSECONDS
"""How long trouble lasts beyond its end: broken sessions are opened again meanwhile."""


def fault(function: Fault) -> Fault:
    """Register a kind of fault under the name of its function."""
    KINDS[function.__name__.strip("_").replace("_", " ")] = function
    return function
