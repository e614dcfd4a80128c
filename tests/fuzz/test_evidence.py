"""A slice of the fuzzing counts what it tried, and tells of what was violated and how to see it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.evidence.figures import figures_of
from tests.evidence.record import Record

from . import evidence, properties
from .planted import BUGS, Bug
from .properties import EXAMPLES, PROPERTIES, SEED, Property, nowhere

seen: list[int] = []


def _is_small(_: None, number: int) -> None:
    seen.append(number)
    assert number < 1_000, "it is not small"


def _is_no_surprise(_: None, number: int) -> None:
    seen.append(number)


GOOD = Property("number", "tests.fuzz.test_x", "test_good", nowhere, {"number": st.integers()}, _is_no_surprise, 10)
BAD = Property("number", "tests.fuzz.test_x", "test_bad", nowhere, {"number": st.integers()}, _is_small, 200)


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    seen.clear()


def numbers(examples: int, seed: int | None) -> list[int]:
    seen.clear()
    assert GOOD.run(examples, seed) == examples
    return list(seen)


def test_a_property_sees_the_same_examples_every_time() -> None:
    assert numbers(20, None) == numbers(20, None)


def test_a_property_sees_those_of_a_seed_when_there_is_one() -> None:
    assert numbers(20, 7) == numbers(20, 7)
    assert len({tuple(numbers(20, seed)) for seed in range(5)}) == 5


def test_variables_say_how_many_examples_and_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EXAMPLES, raising=False)
    assert properties._wanted(10) == (10, None)
    monkeypatch.setenv(EXAMPLES, "50")
    examples, seed = properties._wanted(10)
    assert (examples, isinstance(seed, int)) == (50, True)
    monkeypatch.setenv(SEED, "3")
    assert properties._wanted(10) == (50, 3)


def a_slice(monkeypatch: pytest.MonkeyPatch, tried: list[Property], bugs: tuple[Bug, ...]) -> Record:
    monkeypatch.setattr(evidence, "_properties", lambda: tried)
    monkeypatch.setattr(evidence, "BUGS", bugs)
    for one in (GOOD, BAD):
        monkeypatch.setitem(PROPERTIES, one.name, one)
    return evidence.run(seconds=0.2, seed=1, directory=Path("/nowhere"))


def found(monkeypatch: pytest.MonkeyPatch) -> None:
    pass


FOUND = Bug("large numbers", found, "test_bad")
NOT_FOUND = Bug("nothing at all", found, "test_good", 5)


def test_a_slice_counts_its_examples_and_the_bugs_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    record = a_slice(monkeypatch, [GOOD], (FOUND,))
    assert record.violations == []
    assert record.counts["examples/number"] == 5 * record.counts["rounds/test_good"] > 0
    assert record.counts["planted bugs found"] > 0
    assert "it is not small" in record.passed["planted: large numbers"]


def test_the_evidence_is_not_complete_before_every_property_was_tried_and_every_bug_found() -> None:
    wanted = {figure.what: figure.full for figure in figures_of("fuzz")}
    assert wanted["properties tried"] == len(evidence._properties())
    assert wanted["planted bugs found"] == len(BUGS)


def test_a_violation_says_the_example_and_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = a_slice(monkeypatch, [BAD], (FOUND,)).violations[0]
    assert "test_bad: AssertionError: it is not small" in violation
    assert "number=1000" in violation.replace("_", "")
    again = re.search(rf"{EXAMPLES}=100 {SEED}=(\d+) python -m pytest tests/fuzz/test_x.py::test_bad", violation)
    assert again
    with pytest.raises(AssertionError, match="it is not small"):
        BAD.run(100, int(again[1]))


def test_a_planted_bug_that_is_not_found_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    (violation, *_) = a_slice(monkeypatch, [GOOD], (NOT_FOUND,)).violations
    assert "'nothing at all' was not found by test_good with seed" in violation
