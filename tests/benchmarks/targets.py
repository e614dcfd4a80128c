"""The figures to reach, each a ratio or a value within one run. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .ledger import Figure, Ledger

MEMORY: Final = "ours"
JOURNAL: Final = "ours-journal"
FLOOR: Final = "floor"
REDLOCK: Final = "redis"
POSTGRES: Final = "postgres"
MARIADB: Final = "mariadb"
ETCD: Final = "etcd"
EMPTY_HTTP: Final = "empty-http"


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to reach: `above`, or `above / below`, at most (or at least) `limit`."""

    workload: str
    side: str
    what: str
    limit: float
    above: Figure
    below: Figure | None = None
    at_least: bool = False

    def measured(self, ledger: Ledger) -> float | None:
        """Return the figure, or None when one of its parts was not measured."""
        if self.below is None:
            return ledger.value(*self.above)
        return ledger.ratio(self.above, self.below)

    def reached(self, value: float) -> bool:
        """Say whether a measured figure is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


PEERS: Final = {
    FLOOR: "echo floor",
    REDLOCK: "Redlock",
    POSTGRES: "PostgreSQL",
    MARIADB: "MariaDB",
    ETCD: "etcd",
    EMPTY_HTTP: "empty handler",
}
_SIDES: Final = (("in memory", MEMORY), ("with journal", JOURNAL))
_BACK: Final = 0.8
"""Share of the throughput before a strike that counts as back."""


def _against(
    workload: str, what: str, metric: str, side: str, peers: dict[str, float], *, at_least: bool = False
) -> list[Target]:
    """Return targets that compare one metric of ours with the same of peers."""
    mine = Figure(metric, dict(_SIDES)[side])
    return [
        Target(workload, side, f"{what} / {PEERS[peer]}", limit, mine, Figure(metric, peer), at_least)
        for peer, limit in peers.items()
    ]


def _fairness() -> Iterator[Target]:
    for side, key in _SIDES:
        yield Target("W3", side, "100 on one name: overtakings", 0, Figure("w3.100.overtakings", key))
        yield Target("W3", side, "100 on one name: longest / median wait", 2, Figure("w3.100.spread", key))


def _memory() -> Iterator[Target]:
    for leases in (100_000, 1_000_000):
        for side, key in _SIDES:
            yield Target("W4", side, f"bytes a lease, {leases:,} held", 450, Figure(f"w4.{leases}.bytes", key))


def _strikes() -> Iterator[Target]:
    for how in ("killed", "hung"):
        for side, key in _SIDES:
            yield from _against("W6", f"longest stall, {how}", f"w6.{how}.stall", side, {REDLOCK: 0.5})
            after, before = Figure(f"w6.{how}.after", key), Figure(f"w6.{how}.before", key)
            yield Target("W6", side, f"cycles/s 1 s after / before, {how}", _BACK, after, before, at_least=True)


_GROWING: Final = Figure("w5.1000.p50", MEMORY), Figure("w5.1.p50", MEMORY)
_NODES: Final = Figure("w7.nodes.3.rate", MEMORY), Figure("w7.nodes.7.rate", MEMORY)
_MILLION: Final = Figure("w7.held.1000000.rate", MEMORY), Figure("w7.held.1000000.none", MEMORY)

TARGETS: Final[tuple[Target, ...]] = (
    *_against("W1", "p50", "w1.p50", "in memory", {FLOOR: 1.35, REDLOCK: 0.5}),
    *_against("W1", "p50", "w1.p50", "with journal", {ETCD: 0.25}),
    *_against("W2", "cycles/s", "w2.rate", "in memory", {REDLOCK: 15, MARIADB: 1.3}, at_least=True),
    *_against("W2", "cycles/s", "w2.rate", "with journal", {ETCD: 8}, at_least=True),
    *_against("W3", "100 on one name: hand-overs/s", "w3.100.rate", "in memory", {MARIADB: 1}, at_least=True),
    *_against("W3", "100 on one name: hand-overs/s", "w3.100.rate", "with journal", {ETCD: 8}, at_least=True),
    *_fairness(),
    *_memory(),
    Target("W5", "in memory", "p50 with 1,000 waiters / with 1", 1.3, *_GROWING),
    *_against("W5", "p50 with 1,000 waiters", "w5.1000.p50", "in memory", {POSTGRES: 1, MARIADB: 1}),
    *_against("W5", "p50 with 1,000 waiters", "w5.1000.p50", "with journal", {ETCD: 1}),
    *_strikes(),
    Target("W7", "in memory", "cycles/s of 3 nodes / of 7", 2.6, *_NODES),
    Target("W7", "in memory", "cycles/s beside 1,000,000 leases / beside none", 0.9, *_MILLION, at_least=True),
    Target("W8", "in memory", "client, share of a core", 0.02, Figure("w8.client", MEMORY)),
    Target("W8", "in memory", "busiest node, share of a core", 0.02, Figure("w8.node", MEMORY)),
    *_against("W9", "p50", "w9.p50", "in memory", {EMPTY_HTTP: 1.3}),
)
