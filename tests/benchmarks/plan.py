"""How long a run measures, and what of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

WORKLOADS: Final = {
    "W1": "acquire + release, one worker",
    "W2": "100 workers, names of their own, one client process",
    "W3": "10 and 100 workers, one name",
    "W4": "memory per held lease",
    "W5": "hand-over to the next in line",
    "W6": "one of three servers killed or hung under the crowd",
    "W7": "how cost grows",
    "W8": "renewal of 10,000 leases held by one coordinator, ttl 30 s",
    "W9": "acquire + release over plain HTTP, one node, keep-alive",
}
CROWD: Final = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does; `seconds` is how long one workload of one subject takes in one round."""

    rounds: int = 3
    seconds: float = 2.0
    only: frozenset[str] = field(default_factory=lambda: frozenset(WORKLOADS))
    quick: bool = False
    subjects: frozenset[str] | None = None

    def __contains__(self, workload: str) -> bool:
        return workload in self.only

    def wants(self, subject: str) -> bool:
        """Say whether a subject takes part."""
        return self.subjects is None or subject in self.subjects

    @property
    def queues(self) -> tuple[int, ...]:
        """How many workers want one name."""
        return (10, 100)

    @property
    def lines(self) -> tuple[int, ...]:
        """How many wait while the lock is handed over."""
        return (1, 100, 1000)

    @property
    def hand_overs(self) -> int:
        """How often the lock is handed over in one round."""
        return 5 if self.quick else 15

    @property
    def strike_seconds(self) -> float:
        """A third before the signal, two thirds after it."""
        return 3.0 if self.quick else 6.0

    @property
    def growth_seconds(self) -> float:
        """How long the crowd runs in each of the many cases of W7."""
        return min(self.seconds, 1.0)

    @property
    def held(self) -> tuple[int, ...]:
        """How many leases a node holds when its memory and its speed are measured."""
        return (1_000, 10_000) if self.quick else (1_000, 10_000, 100_000, 1_000_000)

    @property
    def remembered(self) -> tuple[int, ...]:
        """How many leases a node's memory is divided by."""
        return (10_000,) if self.quick else (100_000, 1_000_000)

    @property
    def holding_seconds(self) -> float:
        """How long leases are held while CPU is measured: whole thirds of the ttl, as renewal has that rhythm."""
        return 10.0 if self.quick else 20.0
