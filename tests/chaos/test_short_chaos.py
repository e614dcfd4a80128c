"""A short run of everything: processes are killed and parted, disks fill up, clients stop, and no two hold one lock.

`LOCKMANAGER_CHAOS_SECONDS` says how long, `LOCKMANAGER_CHAOS_SEED` with which chance. Where no network namespaces can
be made, the long run is the one on loopback, where fault proxies part the nodes from the clients.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.namespaces import missing_namespaces
from tests.chaos.processes import Processes
from tests.chaos.stage import Outcome, Run

SECONDS: Final = float(os.environ.get("LOCKMANAGER_CHAOS_SECONDS", "60"))
SEED: Final = int(os.environ.get("LOCKMANAGER_CHAOS_SEED", "7"))
SILENCE: Final = 3.0
"""Seconds for which a node that lost its disk is silent: not the product's 30, and longer than any ttl here."""

_A_LOOK: Final = 12.0
"""Seconds of the run on loopback where the long one is in namespaces."""

KINDS: Final = {
    *("sigkill_node", "sigstop_node", "sigterm_node", "sigkill_majority", "sigstop_majority"),
    *("disk_full", "disk_lost"),
    *("partition_node", "partition_one_way", "partition_halves", "partition_client"),
    *("connection_reset", "half_open", "stall_one_way", "delay"),
    *("sigstop_client", "sigkill_client", "sigstop_before_write"),
}
ONLY_IN_NAMESPACES: Final = {"partition_between_nodes", "network_disconnect"}

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240 + 3 * SECONDS)]


@pytest.fixture(scope="module")
def no_namespaces() -> str | None:
    """Why there are none, or None."""
    return missing_namespaces()


async def test_chaos_in_network_namespaces_violates_nothing(no_namespaces: str | None, tmp_path: Path) -> None:
    if no_namespaces is not None:
        pytest.skip(f"{no_namespaces}; the run on loopback is the long one here")
    ground = Processes(3, 3, namespaces=True, silence=SILENCE)
    outcome = await Run(ground, SECONDS, SEED, tmp_path, all_kinds=True).perform()
    _check(outcome)
    assert _struck(outcome) == KINDS | ONLY_IN_NAMESPACES


async def test_chaos_on_loopback_violates_nothing(no_namespaces: str | None, tmp_path: Path) -> None:
    is_long = no_namespaces is not None
    ground = Processes(3, 3, namespaces=False, silence=SILENCE)
    outcome = await Run(ground, SECONDS if is_long else _A_LOOK, SEED, tmp_path, all_kinds=is_long).perform()
    _check(outcome)
    assert _struck(outcome) == KINDS if is_long else _struck(outcome) < KINDS


def _check(outcome: Outcome) -> None:
    """Nothing is wrong, much was looked at, and updates are lost exactly where fences are not checked."""
    counts = outcome.counts
    assert outcome.violations == []
    assert counts["cycles"] == counts["checks/fences: leases"] > 100
    assert counts["checks/linearizability: searched"] > counts["cycles"]
    assert counts["stale_writes_tried"] > 0
    assert counts["lost_updates/unchecked"] > 0
    assert counts["refused_stale_writes"] > 0
    assert counts["lost_updates/checked"] == 0


def _struck(outcome: Outcome) -> set[str]:
    """Return the kinds of faults that came."""
    return {name.removeprefix("nemesis/") for name, number in outcome.counts.items() if name.startswith("nemesis/")}
