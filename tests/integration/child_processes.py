"""Which processes somebody has started."""

from __future__ import annotations

import contextlib
from pathlib import Path


def children(pid: int) -> set[int]:
    """Return the processes that this one started and that run, or have ended and were not waited for."""
    # Not /proc/pid/task/*/children: there a child moves to another thread when the one that started it ends.
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            _state, parent, *_ = path.read_text().rpartition(")")[2].split()
            if int(parent) == pid:
                found.add(int(path.parent.name))
    return found
