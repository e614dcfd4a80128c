"""The part `kills`: the test that kills a journaling node at random moments, over and over with other seeds.

Each run of it is a pytest of its own, as `make test` runs it; the test itself fails when a round was left out, when
something acknowledged was forgotten, or when some kind of request was hardly made.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.evidence.record import Record

TEST: Final = "tests/integration/test_kill_loop.py"
ROUNDS: Final = 100
"""Rounds of one run: a quarter of a minute, and as many as the test wants to judge what was asked for."""

_PASSED, _FAILED = 0, 1
_ROOT: Final = Path(__file__).parents[2]


Pytest = Callable[[int, Path], "subprocess.CompletedProcess[str]"]


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run the test with one seed after the other until the time is over; a failure is a violation."""
    return run_with(pytest, seconds, seed, directory)


def run_with(pytest: Pytest, seconds: float, seed: int, directory: Path) -> Record:
    """As `run`, with what runs the test with a seed; the first violation is the last run."""
    begun, seeds, violations = time.monotonic(), 0, list[str]()
    while not violations and (not seeds or time.monotonic() - begun < seconds):
        violations = judge(seed + seeds, pytest(seed + seeds, directory))
        seeds += 1
    rounds = ROUNDS * (seeds - len(violations))
    counts = {"rounds": rounds, "seeds": seeds, "checks/nothing acknowledged is forgotten": rounds}
    spent = time.monotonic() - begun
    return Record(part="kills", seconds=spent, counts=counts, violations=violations, facts={"test": TEST})


def pytest(seed: int, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the test with a seed, as `make test` does with another."""
    files = ["-p", "no:cacheprovider", f"--basetemp={directory / 'pytest'}"]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", *files, TEST]
    chosen = os.environ | _chosen(seed)
    return subprocess.run(command, cwd=_ROOT, env=chosen, capture_output=True, text=True, check=False)


def judge(seed: int, done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the violation a run found; raises RuntimeError when the test did not run."""
    if done.returncode == _PASSED and "1 passed" in done.stdout:
        return []
    if done.returncode != _FAILED:
        raise RuntimeError(f"pytest {TEST} ended with status {done.returncode}: {done.stdout}{done.stderr}")
    again = " ".join(f"{name}={value}" for name, value in _chosen(seed).items())
    return [f"{again} pytest {TEST}: {_said(done.stdout)}"]


def _chosen(seed: int) -> dict[str, str]:
    return {"LOCKMANAGER_KILL_ROUNDS": str(ROUNDS), "LOCKMANAGER_KILL_SEED": str(seed)}


def _said(output: str) -> str:
    """Return what pytest told of the failure."""
    errors = [line.removeprefix("E").strip() for line in output.split("\n") if line.startswith("E ")]
    return " ".join(errors) or output.strip().split("\n")[-1]
