"""The parts of the evidence: where each one's `run` lives, and which files its evidence speaks of.

A part is imported only in the process of its slice, so that one that is missing or broken keeps no other from running.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from tests.evidence.record import Run

COVERED_BY_ALL: Final = ("node", "coordinator", "tests/support")
"""What every part's evidence speaks of: the product, and the tools that tests share."""

COMMAND_LINE: Final = "coordinator/lockmanager/cli"
"""What most parts do not run: a change of it throws no evidence of theirs away."""

CONTAINERS: Final = ("docker-compose.yml", "deploy/Dockerfile", "deploy/cluster.yaml")
"""What the containers are made from."""

CONFTESTS: Final = ("tests/conftest.py", "tests/integration/conftest.py")
"""What prepares the tests of nodes."""


@dataclass(frozen=True)
class Part:
    """One part; `own` are its own files, which its evidence speaks of too."""

    name: str
    module: str
    title: str
    own: tuple[str, ...]
    side_by_side: bool = True
    """Whether slices of it may run at the same time."""
    command_line: bool = False
    """Whether its evidence speaks of the command line, too."""

    @property
    def covers(self) -> tuple[str, ...]:
        """Paths below the repository whose content decides whether two runs add up."""
        return (*COVERED_BY_ALL, *self.own)

    @property
    def pathspec(self) -> tuple[str, ...]:
        """The same for git, less what lies below and decides nothing."""
        return self.covers if self.command_line else (*self.covers, f":(exclude){COMMAND_LINE}")

    def load(self) -> Run:
        """Import what runs a slice; raises ImportError or AttributeError when it is not there."""
        return cast("Run", import_module(self.module).run)


PARTS: Final = (
    Part(
        "simulation",
        "tests.simulation.evidence",
        "Simulation: the real rooms on a simulated network, clock and disk",
        ("tests/simulation",),
    ),
    Part(
        "cancellation",
        "tests.virtual.evidence",
        "Coordinator and nodes end to end in virtual time, cancelled at every point",
        ("tests/virtual",),
    ),
    Part(
        "planted",
        "tests.planted.evidence",
        "Planted bugs: each leaves one rule out, and must be found",
        ("tests/planted", "tests/unit", "tests/integration", "tests/simulation", "tests/fuzz", "tests/conftest.py"),
        side_by_side=False,
    ),
    Part("model", "tests.model.evidence", "Models of the protocol, searched", ("tests/model",)),
    Part(
        "chaos",
        "tests.chaos.evidence",
        "Chaos: real node processes, real clients, real faults",
        ("tests/chaos", "tests/e2e/stack.py", "tests/e2e/faults.py", *CONTAINERS),
        side_by_side=False,
    ),
    Part(
        "checker",
        "tests.chaos.checking.evidence",
        "Positive control: histories with a known fault, shown to the checker",
        ("tests/chaos/checking", "tests/chaos/history.py"),
    ),
    Part("fuzz", "tests.fuzz.evidence", "Fuzzing: frames, bodies, files and names nobody should send", ("tests/fuzz",)),
    Part(
        "kills",
        "tests.evidence.kills",
        "Kill rounds: a journaling node killed at random moments forgets nothing",
        ("tests/evidence/kills.py", "tests/integration/test_kill_loop.py", *CONFTESTS),
    ),
    Part(
        "coverage",
        "tests.evidence.coverage",
        "Coverage of the pure rooms by the unit tests",
        ("tests/evidence/coverage.py", "tests/unit", "tests/conftest.py"),
        side_by_side=False,
        command_line=True,
    ),
)


def chosen(names: Iterable[str], parts: tuple[Part, ...] = PARTS) -> tuple[Part, ...]:
    """Return the parts of these names, all when none is named; raises ValueError for a name nobody has."""
    wanted = set(names)
    if unknown := wanted - {part.name for part in parts}:
        raise ValueError(f"no part {', '.join(sorted(unknown))}: choose from {', '.join(part.name for part in parts)}")
    return tuple(part for part in parts if not wanted or part.name in wanted)


def named(name: str) -> Part:
    """Return a part by its name, or any module with a `run` as one; raises ValueError for neither."""
    if "." in name:
        return Part(name.rpartition(".")[2], name, name, ())
    return chosen([name])[0]
