"""Judges a history on disk: `python -m tests.chaos.checking DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.checking import exhaustive, fences
from tests.chaos.history import read_history


def main(directory: Path) -> int:
    """Print what both checkers find; returns an exit status."""
    history = read_history(directory)
    verdicts = {"one pass": fences.check(history), "exhaustive": exhaustive.check(history)}
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict.counts}", *verdict.violations, sep="\n  ")
    return 0 if all(verdict.holds for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
