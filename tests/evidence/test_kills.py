"""The part `kills`: rounds are counted only when the test passed, and a failure names the seed that repeats it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.evidence.kills import ROUNDS, Pytest, judge, run_with


def said(status: int, text: str) -> Pytest:
    """Return a pytest that ends like this whatever the seed."""

    def ends(seed: int, directory: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], status, text, "")

    return ends


def test_the_rounds_of_a_run_that_passed_are_counted(tmp_path: Path) -> None:
    record = run_with(said(0, "1 passed in 5.02s"), 0, 4, tmp_path)
    assert (record.counts["rounds"], record.counts["seeds"], record.violations) == (ROUNDS, 1, [])


def test_runs_follow_each_other_with_new_seeds_until_the_time_is_over(tmp_path: Path) -> None:
    seeds: list[int] = []

    def until_six(seed: int, directory: Path) -> subprocess.CompletedProcess[str]:
        seeds.append(seed)
        return subprocess.CompletedProcess([], int(seed == 6), "E   Broken" if seed == 6 else "1 passed", "")

    record = run_with(until_six, 60, 4, tmp_path)
    assert seeds == [4, 5, 6]
    assert (record.counts["rounds"], record.counts["seeds"]) == (2 * ROUNDS, 3)


def test_a_failure_is_a_violation_that_names_its_seed_and_counts_no_rounds(tmp_path: Path) -> None:
    text = "___ test ___\ntests/it.py:1: in test\nE   Broken: seed 4, round 3: forgotten\n1 failed in 5.02s"
    record = run_with(said(1, text), 60, 4, tmp_path)
    assert record.counts["rounds"] == 0
    (violation,) = record.violations
    assert violation.startswith(f"LOCKMANAGER_KILL_ROUNDS={ROUNDS} LOCKMANAGER_KILL_SEED=4 pytest")
    assert violation.endswith(": Broken: seed 4, round 3: forgotten")


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "1 skipped in 0.1s"), (2, "1 error in 0.1s"), (4, "file not found"), (5, "no tests ran"), (-9, "")],
)
def test_a_test_that_did_not_run_is_no_evidence(status: int, text: str) -> None:
    with pytest.raises(RuntimeError, match=f"ended with status {status}"):
        judge(4, subprocess.CompletedProcess([], status, text, ""))
