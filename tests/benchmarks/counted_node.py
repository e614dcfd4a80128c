"""One node process that says at its end how many commits its journal made, and how many rows they held.

python -m tests.benchmarks.counted_node --cluster cluster.yaml --node-id node1 ...
"""

from __future__ import annotations

import sys

from lockmanager_node.__main__ import main
from lockmanager_node.journal import DiskJournal


def run() -> int:
    """Run the node; what it says is one line of its output: `commits=N rows=N`."""
    close = DiskJournal.close

    async def close_and_tell(journal: DiskJournal) -> None:
        await close(journal)
        print(f"commits={journal.statistics.commits} rows={journal.statistics.rows}", flush=True)

    DiskJournal.close = close_and_tell  # type: ignore[assignment,method-assign]  # for this process alone
    return main()


if __name__ == "__main__":
    sys.exit(run())
