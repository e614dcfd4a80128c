"""Writes what a run found: JSON with every round's values, and a chart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import chart
from .ledger import Ledger
from .rounds import say
from .targets import TARGETS


def write(directory: Path, facts: Mapping[str, Any], ledger: Ledger) -> Iterator[Path]:
    """Write `benchmark.json`, `benchmark.svg` and `benchmark.png`; yields what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "benchmark.json"
    path.write_text(json.dumps(document(facts, ledger), indent=1) + "\n", encoding="utf-8")
    yield path
    try:
        yield from chart.draw(directory, facts, ledger)
    except ImportError:
        say("no chart: matplotlib is not installed (pip install 'lockmanager[bench]')")


def document(facts: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """Return everything a run found; durations in seconds, rates per second."""
    return {
        "facts": dict(facts),
        "subjects": ledger.names,
        "missing": ledger.missing,
        "failed": ledger.failed,
        "targets": list(_targets(ledger)),
        "figures": ledger.as_json(),
    }


def _targets(ledger: Ledger) -> Iterator[dict[str, Any]]:
    for target in TARGETS:
        value = target.measured(ledger)
        yield {
            "workload": target.workload,
            "side": target.side,
            "figure": target.what,
            "at_least" if target.at_least else "at_most": target.limit,
            "measured": value,
            "reached": None if value is None else target.reached(value),
        }
