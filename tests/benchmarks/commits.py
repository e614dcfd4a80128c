"""How the decisions of a crowd share the journal's commits, and what one commit costs on this disk by itself."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from lockmanager.testing import LocalCluster
from lockmanager.testing.process_node import ProcessNode

from . import counted_node
from .ledger import Ledger
from .ours import Ours
from .plan import CROWD, Plan
from .rounds import say
from .targets import JOURNAL

_COMMITS: Final = 300


class CountedNode(ProcessNode):
    """A node that says at its end what its journal wrote."""

    _module = counted_node.__name__

    @property
    def counted(self) -> tuple[int, int]:
        """How many commits its journal made, and how many rows they held; when it has stopped."""
        last = self._log.read_text(encoding="utf-8").strip().splitlines()[-1]
        commits, rows = (int(part.partition("=")[2]) for part in last.split())
        return commits, rows


class CountedCluster(LocalCluster):
    """A local cluster of counted nodes with journals."""

    def _new_node(self, node: str) -> CountedNode:
        return CountedNode(self.cluster, node, self.config_path, self.data_dir(node))


class Counted(Ours):
    """Our system with counted nodes."""

    def __init__(self) -> None:
        super().__init__(journal=True)
        self.local = CountedCluster(3, processes=True)


async def measure(plan: Plan, ledger: Ledger) -> None:
    """Run the crowd of W2 once and stop the nodes politely: then they tell."""
    subject = Counted()
    say("W2  commits of the journal")
    try:
        await subject.start()
        crowd = await subject.crowd(CROWD, plan.seconds)
        await subject.local.stop(*subject.local.node_ids)
        counted = [node.counted for node in subject.local._nodes.values() if isinstance(node, CountedNode)]
    finally:
        await subject.stop()
    commits, rows = (statistics.mean(column) for column in zip(*counted, strict=True))
    ledger.names.setdefault(JOURNAL, subject.name)
    ledger.add(0, "w2.commits", JOURNAL, commits / crowd.elapsed)
    ledger.add(0, "w2.rows", JOURNAL, rows / commits)
    ledger.add(0, "w2.sync", JOURNAL, _commit_alone())


def _commit_alone() -> float:
    """Return the seconds one synced commit of one row takes, SQLite alone, where the journals are."""
    with tempfile.TemporaryDirectory() as directory:
        db = sqlite3.connect(Path(directory) / "probe.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE t (x)"):
            db.execute(statement)
        begin = time.perf_counter()
        for number in range(_COMMITS):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        elapsed = time.perf_counter() - begin
        db.close()
    return elapsed / _COMMITS
