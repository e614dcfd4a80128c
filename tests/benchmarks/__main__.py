"""Measures LockManager and its peers side by side in one run, and says which figures are reached.

python -m tests.benchmarks [--rounds 3] [--seconds 2] [--only W1,W2] [--subjects ours,redis] [--quick] [--out DIR]

Servers are started on free loopback ports and stopped at the end; peers that are not installed are named. The table
goes to standard output; JSON and a chart go to `--out`. Ratios of one run mean something, single figures little.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import uvloop

from . import machine, report
from .ledger import Ledger
from .plan import WORKLOADS, Plan
from .suite import run
from .table import render

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _parser().parse_args()
    plan = Plan(
        rounds=options.rounds or (1 if options.quick else 3),
        seconds=options.seconds or (0.5 if options.quick else 2.0),
        only=_chosen(options.only) or frozenset(WORKLOADS),
        quick=options.quick,
        subjects=_chosen(options.subjects),
    )
    unknown = plan.only - WORKLOADS.keys()
    if unknown:
        print(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    facts, ledger, begin = machine.facts("tests.benchmarks", machine.arguments()), Ledger(), time.monotonic()
    uvloop.run(run(plan, ledger))
    facts |= {"seconds": round(time.monotonic() - begin), "load_after": machine.load()}
    print(render(ledger, plan.only))
    for path in report.write(options.out, facts, ledger):
        print(f"written: {path.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 3)")
    parser.add_argument("--seconds", type=float, help="how long one workload takes in one round (default 2)")
    parser.add_argument("--only", default="", help=f"workloads, with commas: {', '.join(WORKLOADS)}")
    parser.add_argument("--subjects", default="", help="keys of subjects, with commas: ours, ours-journal, redis, ...")
    parser.add_argument("--quick", action="store_true", help="a look in about a minute; its figures are rough")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where JSON and chart go")
    return parser


def _chosen(text: str) -> frozenset[str] | None:
    return frozenset(part.strip() for part in text.split(",") if part.strip()) or None


if __name__ == "__main__":
    sys.exit(main())
