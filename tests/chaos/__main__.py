"""Runs chaos and tells what it found: `python -m tests.chaos --seconds 60 --seed 7 [--containers]`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.containers import Containers, missing_containers
from tests.chaos.namespaces import missing_namespaces
from tests.chaos.processes import Processes
from tests.chaos.stage import Ground, Outcome, Run


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when nothing is wrong, 1 with violations, 2 when the run cannot take place here."""
    options = _parser().parse_args(argv)
    _handle_signals()
    if options.containers and (reason := missing_containers()) is not None:
        print(f"no containers: {reason}", file=sys.stderr)
        return 2
    ground: Ground = Containers() if options.containers else _processes(options)
    directory = Path(tempfile.mkdtemp(prefix="lockmanager-chaos-"))
    outcome = asyncio.run(Run(ground, options.seconds, options.seed, directory).perform())
    _show(outcome, directory)
    return 1 if outcome.violations else 0


def _handle_signals() -> None:
    """Leave by the way that cleans up, also when started in the background, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things break (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="everything is drawn from it (default: %(default)d)")
    parser.add_argument("--containers", action="store_true", help="nodes in containers, by docker-compose.yml")
    parser.add_argument("--nodes", type=int, default=3, help="how many node processes (default: %(default)d)")
    parser.add_argument("--replicas", type=int, default=0, help="how many decide about a lock (default: all)")
    parser.add_argument(
        "--silence", type=float, default=0.0, help="seconds a node that lost its disk is silent, if not 30"
    )
    return parser


def _processes(options: argparse.Namespace) -> Processes:
    reason = missing_namespaces()
    if reason is not None:
        print(f"no network namespaces, so nodes are on loopback and parted by proxies only: {reason}", file=sys.stderr)
    replicas = options.replicas or options.nodes
    return Processes(options.nodes, replicas, namespaces=reason is None, silence=options.silence)


def _show(outcome: Outcome, directory: Path) -> None:
    width = max(map(len, outcome.counts))
    for name, number in sorted(outcome.counts.items()):
        print(f"{name:{width}} {number:>10,}")
    print(f"{'cycles per second':{width}} {outcome.counts['cycles'] / outcome.seconds:>10.1f}")
    print(f"{'nemesis actions per minute':{width}} {60 * outcome.actions / outcome.seconds:>10.1f}")
    for sentence in outcome.violations:
        print(f"VIOLATION: {sentence}")
    print(f"{len(outcome.violations)} violations; histories and logs: {directory}")


if __name__ == "__main__":
    sys.exit(main())
