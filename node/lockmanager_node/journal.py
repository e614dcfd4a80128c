"""Where decisions wait until they are durable, before they are told to anybody.

The service hands over what it wants to say once per tick. A journal that writes to disk calls back after its
commit is synced; the one here keeps everything in memory and lets the answers out at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Journal(Protocol):
    """What the service asks of a journal."""

    def sync(self, then: Callable[[], None]) -> None:
        """Make what was decided so far durable, then call `then` on the event loop."""
        ...


class MemoryJournal:
    """Remembers nothing: a node that stops forgets its leases."""

    def sync(self, then: Callable[[], None]) -> None:
        then()
