"""Every write and every sync of a journal fails once, and is once the last thing its process did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fault_injection import KILL, Run, every, once, require_strace
from tests.support.journal_cases import after, contents
from tests.support.journal_driver import STEPS

pytestmark = pytest.mark.slow

ERRORS = ("error=EIO", "error=ENOSPC")
DIRECTORIES_SYNCED = 4
"""Syncs of a directory by SQLite, which makes nothing of it when one fails."""


@pytest.fixture(autouse=True)
def _() -> None:
    require_strace()


def checked(call: str, fault: str, directory: Path, *, at_least: int) -> list[Run]:
    runs = list(every(call, fault, directory))
    for run in runs:
        run.check()
    assert len(runs) >= at_least, [run.what for run in runs]
    return runs


@pytest.mark.parametrize("fault", ERRORS)
def test_a_write_that_fails_is_told_before_anything_else_is_called_durable(tmp_path: Path, fault: str) -> None:
    runs = checked("pwrite64", fault, tmp_path, at_least=50)
    assert [run.what for run in runs if not run.failure] == []
    assert {run.acknowledged for run in runs} == set(range(len(STEPS) + 1))  # each step, and what is before and after


@pytest.mark.parametrize("fault", ERRORS)
def test_a_sync_that_fails_is_told_before_anything_else_is_called_durable(tmp_path: Path, fault: str) -> None:
    runs = checked("fdatasync", fault, tmp_path, at_least=20)
    assert len([run for run in runs if not run.failure]) == DIRECTORIES_SYNCED


@pytest.mark.parametrize("call", ["fsync", "ftruncate"])
@pytest.mark.parametrize("fault", ERRORS)
def test_whatever_else_fails_loses_nothing(tmp_path: Path, call: str, fault: str) -> None:
    checked(call, fault, tmp_path, at_least=1)


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "unlink"])
def test_a_process_killed_at_any_call_has_kept_what_it_called_durable(tmp_path: Path, call: str) -> None:
    runs = checked(call, KILL, tmp_path, at_least=1)
    assert [run.what for run in runs if run.failure] == []


def test_a_run_without_a_fault_keeps_everything(tmp_path: Path) -> None:
    run = once("pwrite64", "error=EIO", 10_000, tmp_path)
    assert (run.happened, run.status, run.acknowledged, run.said[-1]) == (False, 0, len(STEPS), "closed")
    assert contents(run.directory) == after(STEPS)
