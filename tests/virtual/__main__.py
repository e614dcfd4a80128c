"""Run one case again: `python -m tests.virtual 'acquire' --seed 1 --blow s1late`, or `--contest --seed 7`.

A blow is `s` and the number of a suspension (`late`: when what it waits for completes) or `t` and a number of turns;
`+3` strikes again three turns later, and `s0` strikes nowhere. The exit status is 1 when something was found.
"""

from __future__ import annotations

import argparse
import sys

from tests.virtual.contest import contest
from tests.virtual.striking import Blow, Case, play
from tests.virtual.verbs import VERBS


def main(argv: list[str] | None = None) -> int:
    """Run it and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.virtual", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=VERBS, metavar="VERB", help="; ".join(VERBS))
    parser.add_argument("--contest", action="store_true", help="several clients that contend instead of one call")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rough", action="store_true", help="let the wires break")
    parser.add_argument("--blow", type=Blow.parse, default=Blow())
    options = parser.parse_args(argv)
    if options.contest:
        result = contest(options.seed)
        print(f"{result.grants} grants, trace {result.digest}")
        complaints = result.findings.complaints
    elif options.verb is None:
        parser.error("name a verb, or say --contest")
    else:
        outcome = play(Case(options.verb, options.seed, options.rough, options.blow))
        print(f"{outcome.suspensions} suspensions, {outcome.turns} turns, ended with {outcome.ended}")
        complaints = outcome.findings.complaints
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
