"""A journal whose disk fails once, at any one of the statements it executes: nothing called durable is lost."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest

from lockmanager_node import store
from lockmanager_node.store import Store
from tests.support.journal_cases import Faulty, after, contents
from tests.support.journal_driver import FAILED, FREE_PAGES, REFUSED, STEPS, TIDY_AT, keep, tidy_as_if_idle


@pytest.fixture(autouse=True)
def _(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal be tidied often, so that it fails at that too."""
    monkeypatch.setattr(store, "_TIDY_AT", TIDY_AT)
    monkeypatch.setattr(store, "_FREE_PAGES", FREE_PAGES)
    monkeypatch.setattr(Store, "tidy", tidy_as_if_idle)


def run(directory: Path, *, at: int) -> tuple[int, list[str], int]:
    """Go through all steps; returns the status, what was said, and how many statements were executed."""
    connections: list[Faulty] = []
    original = store._connect
    said: list[str] = []

    def connect(path: Path) -> Faulty:
        connections.append(Faulty(original(path), at=at))
        return connections[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_connect", connect)
        status = asyncio.run(keep(directory, said.append))
    return status, said, connections[0].executed


def test_a_statement_that_fails_is_told_before_anything_else_is_called_durable(tmp_path: Path) -> None:
    acknowledged = []
    for at in count(1):
        directory = tmp_path / str(at)
        status, said, executed = run(directory, at=at)
        if executed < at:
            break
        told = [int(line) for line in said if line.isdecimal()]
        acknowledged.append(len(told))
        assert told == list(range(1, len(told) + 1)), (at, said)
        assert said[-1].startswith("failed" if status == FAILED else "refused"), (at, said)
        assert status in (FAILED, REFUSED), (at, said)
        assert "disk I/O error" in said[-1], (at, said)
        found = contents(directory)
        assert found in [after(STEPS[:steps]) for steps in range(len(told), len(STEPS) + 1)], (at, said, found)
    assert set(acknowledged) == set(range(len(STEPS) + 1))
    assert len(acknowledged) > 40


def test_a_disk_that_does_not_fail_keeps_everything(tmp_path: Path) -> None:
    status, said, _ = run(tmp_path, at=0)
    assert (status, said) == (0, ["opened", *(str(number) for number in range(1, len(STEPS) + 1)), "closed"])
    assert contents(tmp_path) == after(STEPS)
