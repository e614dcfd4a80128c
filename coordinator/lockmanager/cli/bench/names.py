"""Which names a run asks for, and for how long: all of its own, within the cluster's limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...topology import Limits

LONGEST_SECONDS: Final = 600.0
MOST_WORKERS: Final = 10_000

_TTL: Final = 10.0
"""Seconds. What a run that was killed held is free again after that."""

_NAMES_ALONE: Final = 50
_NAMES_IN_CROWD: Final = 4


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one run; every one of them begins with `root`."""

    prefix: str
    run: str
    """What no other run has: two of them at once, or soon after another, do not meet."""

    @property
    def root(self) -> str:
        """What all names begin with, and nobody else's does."""
        return f"{self.prefix}{self.run}/"

    def warm_up(self, part: str) -> str:
        """Return the name that is locked once before a part is measured."""
        return f"{self.root}warm-up/{part}"

    def alone(self, number: int) -> str:
        """Return the name of the single worker's cycle with this number."""
        return f"{self.root}alone/{number % _NAMES_ALONE}"

    def crowd(self, worker: int, number: int) -> str:
        """Return the name of a worker's cycle with this number, which no other worker uses."""
        return f"{self.root}crowd/{worker}/{number % _NAMES_IN_CROWD}"

    @property
    def queue(self) -> str:
        """The one name that all workers want."""
        return f"{self.root}queue"

    @property
    def last(self) -> str:
        """The name that is locked once when everything else is over."""
        return f"{self.root}last"


def fault(names: Names, workers: int, limits: Limits) -> str | None:
    """Say why this cluster would not take such a run, None when it will."""
    longest = max((names.crowd(workers - 1, 0), names.warm_up("alone")), key=len)
    excess = len(longest.encode()) - limits.name_bytes
    if excess > 0:
        size = len(names.prefix.encode())
        return f"--prefix has {size} bytes; names in this cluster leave room for {max(0, size - excess)}"
    if workers > limits.waiters:
        return f"--workers {workers}: in this cluster at most {limits.waiters} may wait for one name"
    return None


def ttl(limits: Limits) -> float:
    """Return the ttl of every lock of a run, in seconds."""
    return min(max(_TTL, limits.min_ttl), limits.max_ttl)
