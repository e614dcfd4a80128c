"""Clients contend over wires that break: one holder at a time, fences that rise, everybody gets the lock in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.virtual.contest import Result, contest
from tests.virtual.weather import FAULTS

SEEDS = range(1, 26)
MORE = range(26, 51)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contests() -> dict[int, Result]:
    """Contests of many seeds, as far as a test has asked for them."""
    return {}


@pytest.mark.parametrize("seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in MORE)])
def test_contending_over_breaking_wires(seed: int, contests: dict[int, Result]) -> None:
    contests[seed] = result = contest(seed)
    assert result.findings.complaints == [], f"again with: python -m tests.virtual --contest --seed {seed}"
    assert result.grants > 0


def test_the_contests_meet_every_fault_and_every_error(contests: dict[int, Result]) -> None:
    for seed in SEEDS:
        if seed not in contests:
            contests[seed] = contest(seed)
    met = {fault for result in contests.values() for fault, times in result.faults.items() if times}
    assert met == {*FAULTS, "node that forgets"}
    errors = {error for result in contests.values() for error in result.errors}
    assert errors >= {"AcquireTimeout", "LeaseLost", "NotAcquired", "QuorumUnavailable", "TimeoutError"}


def test_the_same_seed_gives_the_same_bytes_at_the_same_instants() -> None:
    assert contest(3).digest == contest(3).digest != contest(4).digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_gives_the_same_bytes_in_another_process(hash_seed: str) -> None:
    command = [sys.executable, "-m", "tests.virtual", "--contest", "--seed", "3"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    found = re.search(r"trace (\w+)", done.stdout)
    assert found is not None
    assert found[1] == contest(3).digest
