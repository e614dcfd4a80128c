"""Run simulations: `python -m tests.simulation --seeds 0-999`. The exit status is 1 when one found a violation."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.evidence import Tally, run_seeds


def main(argv: list[str] | None = None) -> int:
    """Run the seeds and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", required=True, metavar="A-B", help="one seed, or the first and the last of several")
    parser.add_argument("--until-violation", action="store_true", help="end at the first violation")
    options = parser.parse_args(argv)
    first, _, last = options.seeds.partition("-")
    began = time.process_time()
    seeds = range(int(first), int(last or first) + 1)
    tally = run_seeds(seeds, until_violation=options.until_violation)
    _report(tally, time.process_time() - began)
    return 1 if tally.violations else 0


def _report(tally: Tally, seconds: float) -> None:
    for violation in tally.violations:
        print(violation)
    for name, value in tally.counts().items():
        print(f"{value:>12,}  {name}")
    print(f"{len(tally.violations)} violations in {tally.seeds} seeds, {seconds:.1f} s of processor time")


if __name__ == "__main__":
    sys.exit(main())
