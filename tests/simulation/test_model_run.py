"""Real tables and real acquisitions under random schedules: what the protocol promises, and bugs it was shown to catch.

Each planted bug leaves one rule out; it must be found within the seeds given, or the model would prove nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from lockmanager import acquisition as rules
from lockmanager.acquisition import Acquisition
from lockmanager.wire import GrantId, Token, Yield
from lockmanager_node.lock import Lock
from lockmanager_node.table import Table
from tests.support.model_parts import Node, Wire
from tests.support.model_run import LATE, SHAKY, Broken, World

SEEDS = 90
"""Runs per number of nodes; each is a few thousand steps."""


@pytest.mark.parametrize("nodes", [3, 5])
def test_no_schedule_breaks_exclusion_order_or_progress(nodes: int) -> None:
    seen: Counter[str] = Counter()
    promised = 0
    for seed in range(SEEDS):
        world = World(seed, nodes=nodes, clients=2 + seed % 4)
        promised += world.patient
        seen += world.run()
    print(f"\n{nodes} nodes, {SEEDS} schedules: {dict(seen)}")
    assert seen["held"] >= promised >= 5 * SEEDS
    assert min(seen[what] for what in ("lost", "apart", "split", "cancelled", "failed", "readers together")) >= 5
