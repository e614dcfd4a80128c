"""`python -m tests.evidence`: run slices of the evidence, one slice, or write the report.

Exit status: 0 when all is well, 1 when something is violated, open or not reached, 2 when nothing could be done.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.evidence.figures import FIGURES, SIZES
from tests.evidence.parts import PARTS, chosen, named
from tests.evidence.report import Report, gather
from tests.evidence.running import Plan, run
from tests.evidence.slices import run_here
from tests.evidence.store import Store

ROOT: Final = Path(__file__).parents[2]


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    options = _parser().parse_args(words)
    try:
        status: int = options.do(options)
    except (RuntimeError, ValueError) as wrong:
        print(f"evidence: {wrong}", file=sys.stderr)
        return 2
    return status


def _run(options: argparse.Namespace) -> int:
    plan = Plan(
        root=ROOT,
        store=Store(options.store),
        parts=chosen(options.part, PARTS),
        size=options.size,
        jobs=options.jobs,
        minutes=options.minutes,
        uncommitted=options.uncommitted,
        figures=FIGURES,
        say=_say,
        report=options.into.with_suffix(".json"),
    )
    asyncio.run(run(plan))
    _write(options)
    return _judge(gather(ROOT, plan.store, plan.parts, plan.size, FIGURES))


def _report(options: argparse.Namespace) -> int:
    report = _write(options)
    return _judge(report) if options.check else 0


def _write(options: argparse.Namespace) -> Report:
    report = gather(ROOT, Store(options.store), PARTS, options.size, FIGURES)
    if not any(summary.slices for summary in report.summaries):
        raise RuntimeError(f"{options.store} holds nothing that ran with the code as it is: nothing was written")
    for suffix, text in ((".md", report.markdown()), (".json", report.json().decode())):
        options.into.with_suffix(suffix).write_text(text.replace(f"{ROOT}/", ""), encoding="utf-8")
    return report


def _judge(report: Report) -> int:
    for line in (*report.problems, *(f"not reached: {missed}" for missed in report.missed)):
        print(line, file=sys.stderr)
    return 1 if report.problems or report.missed else 0


def _slice(options: argparse.Namespace) -> int:
    with TemporaryDirectory() as elsewhere:
        directory = options.directory or Path(elsewhere)
        print(run_here(named(options.part), options.seconds, options.seed, directory))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    whole = argparse.ArgumentParser(add_help=False)
    whole.add_argument("--size", choices=SIZES, default="full", help="which figures are wanted")
    whole.add_argument("--store", type=Path, default=ROOT / ".evidence", help="where records are kept")
    whole.add_argument("--into", type=Path, default=ROOT / "tests" / "EVIDENCE", help="the report, less its suffix")
    running = verbs.add_parser("run", parents=[whole], help="run slices until the figures are reached, then report")
    running.add_argument("--part", action="append", default=[], help="run only this part; may be repeated")
    running.add_argument("--minutes", type=float, default=float("inf"), help="begin no slice after so long")
    running.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="slices at once")
    running.add_argument("--uncommitted", action="store_true", help="run although covered files are not committed")
    running.set_defaults(do=_run)
    reporting = verbs.add_parser("report", parents=[whole], help="write tests/EVIDENCE.md and .json")
    reporting.add_argument("--check", action="store_true", help="fail on a violation and on a figure not reached")
    reporting.set_defaults(do=_report)
    slicing = verbs.add_parser("slice", help="run one slice of a part, named or by its module")
    slicing.add_argument("part")
    slicing.add_argument("--seconds", type=float, required=True)
    slicing.add_argument("--seed", type=int, required=True)
    slicing.add_argument("--directory", type=Path, help="where it may write, and writes its record")
    slicing.set_defaults(do=_slice)
    return parser


if __name__ == "__main__":
    sys.exit(main())
