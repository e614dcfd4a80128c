"""The models as a part of the evidence: each slice makes one group of searches, which its seed chooses.

Slices whose seeds follow each other take groups that follow each other in a ring, so that once around each search was
made once. A search that is not exhaustive is a violation, and its states are counted apart.
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
    counts = {"searches": len(made), "mutants": sum(bool(search.is_mutant) for search, _ in made)}
    violations: list[str] = []
    passed: dict[str, str] = {}
    for search, found in made:
        if wrong := complaints(search, found):
            violations += wrong
        else:
            passed |= _passed(search, found)
        name = _counter(search, found)
        counts[name] = counts.get(name, 0) + found.states
    facts = {f"bounds of {search.name}": search.what for search, _ in made if not search.is_mutant}
    return Record(part="model", seconds=seconds, counts=counts, violations=violations, facts=facts, passed=passed)


def _counter(search: Search, found: Found) -> str:
    if search.is_mutant:
        return f"states of mutants/{search.model}"
    complete = not (found.cut or found.violated)
    return f"{'exhaustive' if complete else 'not exhaustive'}/{search.model}"


def _passed(search: Search, found: Found) -> dict[str, str]:
    if search.is_mutant:
        return {f"mutant: {search.name}": f"{found.violated}, after {found.violated_at} steps; {found.describe()}"}
    return {f"searched: {search.name}": found.describe()}
