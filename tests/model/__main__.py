"""Search models, all or those named, such as `line` or `line/NO_YIELD`. The exit status is 1 when one fails."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.model.checking import SearchFailed, check, complaints
from tests.model.plan import SIZES, Search, chosen


def main(words: Sequence[str] | None = None) -> int:
    """Make the searches and say of each what was found; SIGTERM unwinds it, so that no search outlives it."""
    signal.signal(signal.SIGTERM, _unwind)
    options = _parser().parse_args(words)
    try:
        return max([_make(search) for search in chosen(options.names, options.size)])
    except (RuntimeError, SearchFailed, ValueError) as wrong:
        print(f"model: {wrong}", file=sys.stderr)
        return 2


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _make(search: Search) -> int:
    """Make one search; 1 when something is wrong with what it found."""
    with tempfile.TemporaryDirectory() as directory:
        found = check(search, Path(directory))
    wrong = complaints(search, found)
    held = f"refuted: {found.violated[:60]}" if search.is_mutant else "holds"
    print(f"{search.name:40} {found.describe():60} {held if not wrong else '; '.join(wrong)}", flush=True)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("names", nargs="*", help="models or single searches; all when none is named")
    parser.add_argument("--size", choices=SIZES, default="full", help="short: one model and its mutants")
    return parser


if __name__ == "__main__":
    sys.exit(main())
