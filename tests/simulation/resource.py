"""A resource that checks fences, as the README asks for: it serves nobody whose fence is behind what it saw.

It keeps two marks, as a lock does: a writer must not be behind anybody, a reader not behind a writer. Users add one to
what they read, so that a lost update shows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Row:
    """One row, and the largest fences that came with requests for it."""

    value: int = 0
    last_fence: int = 0
    last_exclusive_fence: int = 0
    accepted: int = 0
    refused: int = 0


class Resource:
    """Rows by name."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def row(self, name: str) -> Row:
        """Return the row of a name."""
        return self.rows.setdefault(name, Row())

    def read(self, name: str, fence: int, *, shared: bool) -> int | None:
        """Return the value, or None when the fence is stale."""
        row = self.row(name)
        return row.value if self._admits(row, fence, shared=shared) else None

    def write(self, name: str, value: int, fence: int) -> bool:
        """Store a value; returns whether it was accepted."""
        row = self.row(name)
        if not self._admits(row, fence, shared=False):
            return False
        row.value = value
        row.accepted += 1
        return True

    def _admits(self, row: Row, fence: int, *, shared: bool) -> bool:
        if fence < (row.last_exclusive_fence if shared else row.last_fence):
            row.refused += 1
            return False
        row.last_fence = max(row.last_fence, fence)
        if not shared:
            row.last_exclusive_fence = fence
        return True
