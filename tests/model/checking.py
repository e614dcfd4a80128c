"""Run one search with spin, and read strictly what it says: what it found, and whether it looked everywhere.

A search that was cut short, by its depth, memory, time or by a method that may miss states, is never called complete.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.model.plan import DEPTH, Search

MODELS: Final = Path(__file__).parent
MEMORY: Final = 6_000
"""Megabytes that one search may take."""
DEADLINE: Final = 900.0
"""Seconds after which a search is given up."""
TOOLS: Final = ("spin", "gcc", "setpriv")
REMEDY: Final = "install the Debian packages spin, gcc and util-linux"

_EXHAUSTIVE: Final = "Full statespace search for:"
_CUTS: Final = ("Search not completed", "max search depth too small", "reached -DMEMLIM bound", "out of memory")
_FINDING: Final = re.compile(r"^pan:\d+: (?P<what>.*) \(at depth (?P<depth>\d+)\)$", re.MULTILINE)
_ERRORS: Final = re.compile(r"depth reached (?P<depth>\d+), errors: (?P<errors>\d+)$", re.MULTILINE)
_STATES: Final = re.compile(r"^ *(?P<states>\d+) states, stored\b", re.MULTILINE)
_MEMORY: Final = re.compile(r"^ *(?P<memory>[\d.]+)\ttotal actual memory usage$", re.MULTILINE)


class SearchFailed(Exception):
    """A search that could not be made, or said nothing that can be read."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    states: int
    """Different states that were stored."""
    depth: int
    """Steps of the longest run that was followed."""
    megabytes: float
    violated: str = ""
    """The first thing that was violated, in the words of spin."""
    violated_at: int = 0
    """The number of steps that led there."""
    cut: str = ""
    """Why the search is not exhaustive; a violation ends it too."""
    seconds: float = 0

    def describe(self) -> str:
        """Say in one line how much was searched."""
        return f"{self.states:,} states, depth {self.depth:,}, {self.megabytes:,.0f} MB, {self.seconds:.1f} s"


def missing() -> list[str]:
    """Return what a search needs and this machine has not."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


def check(search: Search, below: Path, deadline: float = DEADLINE) -> Found:
    """Make a search in a directory of its own; raises RuntimeError without its tools, and SearchFailed."""
    if absent := missing():
        raise RuntimeError(f"searching models needs {' and '.join(absent)}: {REMEDY}")
    with TemporaryDirectory(dir=below) as directory:
        _build(search, Path(directory))
        begun = time.monotonic()
        output = _search(search, Path(directory), deadline)
        return parse(output, seconds=time.monotonic() - begun)


def parse(output: str, *, seconds: float = 0) -> Found:
    """Read what a search printed; raises SearchFailed when its summary is not there."""
    errors, states, memory = (pattern.search(output) for pattern in (_ERRORS, _STATES, _MEMORY))
    if not (errors and states and memory):
        raise SearchFailed(f"the search printed no summary: {_last_line(output)}")
    violated, at = _finding(output, int(errors["errors"]))
    return Found(
        states=int(states["states"]),
        depth=int(errors["depth"]),
        megabytes=float(memory["memory"]),
        violated=violated,
        violated_at=at,
        cut=_cut(output),
        seconds=seconds,
    )


def complaints(search: Search, found: Found) -> list[str]:
    """Say what is wrong with what was found: a violation, an incomplete search, a mutant that is not refuted so."""
    again = f"again with: python -m tests.model {search.name}"
    if search.is_mutant:
        return [] if re.match(search.violates, found.violated) else [f"{_survives(search, found)}; {again}"]
    if found.violated:
        return [f"{search.name}: {found.violated} after {found.violated_at} steps; {again}"]
    return [f"{search.name} is not exhaustive: {found.cut}; {again}"] if found.cut else []


def _survives(search: Search, found: Found) -> str:
    what = found.violated or found.cut or f"nothing violated in {found.states:,} states"
    return f"the mutant {search.name} is not refuted by '{search.violates}': {what}"


def _finding(output: str, errors: int) -> tuple[str, int]:
    """Return what was violated and after how many steps; the count of errors must agree."""
    found = _FINDING.search(output)
    if bool(found) != bool(errors):
        raise SearchFailed(f"{errors} errors, yet it is said of them: {found[0] if found else 'nothing'}")
    return (found["what"], int(found["depth"])) if found else ("", 0)


def _cut(output: str) -> str:
    if _EXHAUSTIVE not in output:
        return "states may have been missed: it was no full search of the state space"
    return next((cut for cut in _CUTS if cut in output), "")


def _build(search: Search, directory: Path) -> None:
    model = MODELS / f"{search.model}.pml"
    _run(["spin", "-a", *search.defines, str(model)], directory, f"{search.name}: spin refuses {model.name}")
    options = [search.optimize, "-w", f"-DMEMLIM={MEMORY}", *search.kind.compile]
    _run(["gcc", *options, "-o", "pan", "pan.c"], directory, f"{search.name}: the search cannot be compiled")


def _run(command: list[str], directory: Path, failing: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SearchFailed(f"{failing}: {_last_line(done.stdout + done.stderr)}")


def _search(search: Search, directory: Path, deadline: float) -> str:
    """Run the search, which the kernel ends with this process, however that ends."""
    command = ["setpriv", "--pdeathsig", "KILL", "./pan", f"-m{DEPTH}", *search.kind.search]
    try:
        done = subprocess.run(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=deadline, check=False
        )
    except subprocess.TimeoutExpired:
        raise SearchFailed(f"{search.name}: not done after {deadline:.0f} s") from None
    return done.stdout.decode(errors="replace")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "nothing")
