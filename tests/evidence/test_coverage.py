"""The part `coverage`: whatever the unit tests leave out of a pure room is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.evidence import coverage
from tests.evidence.coverage import judge, pure_rooms


@pytest.fixture
def _(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "pure_rooms", lambda: {"node.table": "table.py"})


def found(*, lines: tuple[int, ...] = (), branches: tuple[tuple[int, int], ...] = ()) -> dict[str, Any]:
    """Return what is reported of a room of ten lines and four branches, less what is left out."""
    summary = {
        "num_statements": 10,
        "covered_lines": 10 - len(lines),
        "num_branches": 4,
        "covered_branches": 4 - len(branches),
    }
    return {"summary": summary, "missing_lines": lines, "missing_branches": branches}


@pytest.mark.usefixtures("_")
def test_a_room_that_is_reached_whole_passes() -> None:
    record = judge({"table.py": found(), "other.py": found(lines=(1,))}, 0.0)
    assert record.passed == {"node.table": "10 lines, 4 branches"}
    assert record.counts == {"rooms": 1, "lines": 10, "lines/covered": 10, "branches": 4, "branches/covered": 4}
    assert record.violations == []


@pytest.mark.usefixtures("_")
def test_lines_and_branches_that_are_left_out_are_named() -> None:
    record = judge({"table.py": found(lines=(7,), branches=((3, 5), (8, -1)))}, 0.0)
    assert record.passed == {}
    assert (record.counts["lines/covered"], record.counts["branches/covered"]) == (9, 2)
    assert record.violations == [
        "node.table: line 7 is not reached by tests/unit",
        "node.table: branch 3->5 is not reached by tests/unit",
        "node.table: branch 8->exit is not reached by tests/unit",
    ]


@pytest.mark.usefixtures("_")
def test_a_room_that_no_test_imports_is_named() -> None:
    assert judge({}, 0.0).violations == ["node.table: no unit test imports it"]


@pytest.mark.timeout(600)
def test_the_unit_tests_reach_every_line_and_branch_of_every_pure_room(tmp_path: Path) -> None:
    record = coverage.run(seconds=0, seed=0, directory=tmp_path)
    assert record.violations == []
    assert record.counts["branches/covered"] == record.counts["branches"] > 500


def test_pure_rooms_are_those_of_the_import_guard_and_what_they_use() -> None:
    assert {"lockmanager_node.table", "lockmanager.acquisition", "lockmanager.strict"} <= pure_rooms().keys()
    assert not {"lockmanager.channel", "lockmanager_node.journal", "msgspec"} & pure_rooms().keys()
