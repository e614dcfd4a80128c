"""The parts and their figures: each speaks of the files it runs, and each figure of a part there is."""

from __future__ import annotations

import pytest

from tests.evidence.figures import FIGURES, SIZES, count, percent, rows, times_of, total
from tests.evidence.parts import PARTS, Part, chosen, named
from tests.evidence.record import Record
from tests.support.imports import REPOSITORY, Source

FREE = ("tests.evidence.record", "tests.evidence.store", "tests.support")
"""What parts use that is covered for all, or decides nothing."""

_SOURCE = Source((("tests", REPOSITORY),))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_covers_every_test_file_that_it_runs(part: Part) -> None:
    if _SOURCE.path(part.module) is None:
        pytest.fail(f"{part.name} has no module {part.module}")
    reached = [module for module in _SOURCE.chains(part.module) if _SOURCE.path(module) and not module.startswith(FREE)]
    files = [str(path.relative_to(REPOSITORY)) for module in reached if (path := _SOURCE.path(module))]
    assert [file for file in files if not file.startswith(part.covers) and not file.endswith("__init__.py")] == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_what_a_part_covers_is_there(part: Part) -> None:
    assert [path for path in part.covers if not (REPOSITORY / path).exists()] == []


def test_every_part_has_a_figure_at_every_size_and_every_figure_a_part() -> None:
    assert {figure.part for figure in FIGURES} == {part.name for part in PARTS}
    for size in SIZES:
        assert {figure.part for figure in FIGURES if figure.wanted(size)} == {part.name for part in PARTS}


def test_no_figure_is_smaller_at_a_larger_size() -> None:
    assert [figure.what for figure in FIGURES if not figure.short <= figure.long <= figure.full] == []


def test_parts_are_found_by_name_and_a_wrong_name_is_refused() -> None:
    assert [part.name for part in chosen(["kills", "model"])] == ["model", "kills"]
    assert chosen([]) == PARTS
    assert named("tests.somewhere.evidence").module == "tests.somewhere.evidence"
    with pytest.raises(ValueError, match="no part kils: choose from simulation"):
        named("kils")


def test_figures_are_measured_on_counts() -> None:
    counts = {"ran": 7_300, "of": 8, "some": 7, "faults/a": 5, "faults/b": 9, "faults/c": 0}
    record = Record(part="fake", seconds=1, counts=counts)
    assert count("ran", per=3_600)(record) == 2
    assert count("never")(record) == 0
    assert total("faults")(record) == 14
    assert rows("faults")(record) == 2
    assert [times_of("faults", place)(record) for place in (1, 2, 3, 4)] == [9, 5, 0, 0]
    assert percent("some", "of")(record) == 87
    assert percent("never", "nothing")(record) == 0
