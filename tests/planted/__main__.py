"""Hunt planted bugs from the command line: `python -m tests.planted [PATCH ...] [--kind KIND ...]`; all without names.

A name may be the beginning of one. The exit status is 1 when a bug got away, or a check fails without any bug.
"""

from __future__ import annotations

import argparse
import sys

from .catalogue import KINDS, catalogue
from .hunting import false_alarms, hunt


def main() -> int:
    """Hunt, and say of each bug what caught it."""
    arguments = _parser().parse_args()
    kinds = arguments.kind or KINDS
    bugs = [bug for bug in catalogue() if bug.patch.startswith(tuple(arguments.patch) or "")]
    complaints = false_alarms(bugs, kinds=kinds)
    for bug in bugs:
        find = hunt(bug, kinds=kinds)
        missed = f" MISSED {find.how_not()}" if find.missed_by else ""
        print(f"{bug.patch}: {find.how()}{missed}", flush=True)
        complaints += find.complaints()
    print("\n".join([f"{len(bugs)} planted, {len(complaints)} complaints", *complaints]))
    return 1 if complaints or not bugs else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("patch", nargs="*", help="the name of a patch, or how it begins; all without")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only checks of this kind; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
