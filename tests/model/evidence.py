"""The models as a part of the evidence: each slice makes one group of searches, which its seed chooses.

Slices whose seeds follow each other take groups that follow each other in a ring, so that once around each search was
made once. A search that is not exhaustive is a violation. What a search found stands under its name: one that is made
again counts no state twice.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.evidence.record import Record
from tests.evidence.store import SEEDS_PER_SLICE
from tests.model.checking import Found, check, complaints
from tests.model.plan import Search, groups


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Make the searches of the group that belongs to a seed, however long they take."""
    del seconds
    began = time.monotonic()
    ring = groups()
    made = [(search, check(search, directory)) for search in ring[seed // SEEDS_PER_SLICE % len(ring)]]
    return record(made, time.monotonic() - began)


def record(made: list[tuple[Search, Found]], seconds: float = 0) -> Record:
    """Say what searches found."""
    mutants = [search for search, _ in made if search.is_mutant]
    counts = {"searches made": len(made) - len(mutants), "searches made of mutants": len(mutants)}
    violations: list[str] = []
    passed: dict[str, str] = {}
    for search, found in made:
        wrong = complaints(search, found)
        violations += wrong
        passed |= {} if wrong else _passed(search, found)
    return Record(part="model", seconds=seconds, counts=counts, violations=violations, passed=passed)


def _passed(search: Search, found: Found) -> dict[str, str]:
    if search.is_mutant:
        how = f"{found.violated}, after {found.violated_at} steps; {found.describe()}"
        return {f"mutant: {search.name}": f"{how}: leaves a rule out of {search.control}, {search.what}"}
    return {f"searched: {search.name}": f"{found.describe()}: {search.what}"}
