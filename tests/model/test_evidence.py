"""What searches leave in the evidence: only what held, each search once, and all of them once around the ring."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.figures import figures_of
from tests.evidence.record import Record
from tests.evidence.store import SEEDS_PER_SLICE
from tests.model import evidence
from tests.model.checking import Found
from tests.model.plan import MUTANTS, SEARCHES, Search, groups

THREE = Search("line", "three", what="3 nodes")
FAULTS = Search("line", "faults", what="2 nodes")
CALM = Search("fences", "calm", what="3 nodes, no fault")
MUTANT = Search("fences", "NO_RAISE", what=CALM.what, violates=r"assertion violated \(fence", control="fences/calm")
WHOLE = Found(states=3_665_327, depth=47, megabytes=549, seconds=25.8)
REFUTED = Found(states=12, depth=24, megabytes=1, violated="assertion violated (fence>top)", violated_at=24)


def measured(record: Record) -> dict[str, int]:
    return {figure.what: figure.measure(record) for figure in figures_of("model")}


def states(record: Record) -> int:
    return measured(record)["states in exhaustive searches, each search once"]


def test_a_search_that_was_exhaustive_stands_there_with_its_states_and_bounds() -> None:
    record = evidence.record([(THREE, WHOLE)])
    assert record.passed == {"searched: line/three": "3,665,327 states, depth 47, 549 MB, 25.8 s: 3 nodes"}
    assert states(record) == 3_665_327


def test_a_search_that_is_made_again_counts_no_state_twice() -> None:
    record = evidence.record([(THREE, WHOLE), (CALM, WHOLE)])
    again = Record.sum("model", [record, record, evidence.record([(THREE, WHOLE)])])
    assert measured(again) == measured(record)
    assert states(again) == 2 * 3_665_327


def test_models_are_counted_not_their_searches() -> None:
    record = evidence.record([(THREE, WHOLE), (FAULTS, WHOLE), (CALM, WHOLE)])
    assert measured(record)["models searched exhaustively"] == 2
    assert measured(record)["searches that were exhaustive"] == 3


def test_a_mutant_that_was_refuted_counts_as_such_and_its_states_do_not() -> None:
    record = evidence.record([(MUTANT, REFUTED)])
    assert list(record.passed) == ["mutant: fences/NO_RAISE"]
    assert measured(record)["mutants refuted"] == 1
    assert states(record) == measured(record)["models searched exhaustively"] == 0


def test_a_mutant_that_was_refuted_stands_there_with_its_bounds_and_the_search_that_it_changes() -> None:
    (how,) = evidence.record([(MUTANT, REFUTED)]).passed.values()
    assert how == (
        "assertion violated (fence>top), after 24 steps; 12 states, depth 24, 1 MB, 0.0 s: "
        "leaves a rule out of fences/calm, 3 nodes, no fault"
    )


@pytest.mark.parametrize("found", [Found(states=9, depth=1, megabytes=1, cut="out of memory"), REFUTED])
def test_a_search_that_was_cut_short_or_refuted_is_a_violation_and_counts_as_nothing(found: Found) -> None:
    record = evidence.record([(CALM, found)])
    assert len(record.violations) == 1
    assert record.passed == {}


def test_a_mutant_that_survives_is_a_violation_and_counts_as_nothing() -> None:
    record = evidence.record([(CALM, WHOLE), (MUTANT, WHOLE)])
    assert len(record.violations) == 1
    assert list(record.passed) == ["searched: fences/calm"]


def test_the_evidence_is_not_complete_before_all_searches_were_made_and_all_mutants_refuted() -> None:
    wanted = {figure.what: figure.full for figure in figures_of("model")}
    assert wanted["searches that were exhaustive"] == len(SEARCHES)
    assert wanted["mutants refuted"] == len(MUTANTS)
    assert wanted["models searched exhaustively"] == len({search.model for search in SEARCHES})


def test_the_first_slice_is_enough_for_a_short_run() -> None:
    (first, *mutants), wanted = groups()[0], {figure.what: figure.short for figure in figures_of("model")}
    assert first in SEARCHES
    assert wanted["mutants refuted"] == len(mutants)
    assert wanted["searches that were exhaustive"] == wanted["models searched exhaustively"] == 1


def test_slices_that_follow_each_other_make_the_groups_in_their_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []

    def note(search: Search, below: Path) -> Found:
        made.append(search.name)
        return WHOLE

    monkeypatch.setattr(evidence, "check", note)
    for number in range(2 * len(groups())):
        evidence.run(seconds=1, seed=number * SEEDS_PER_SLICE, directory=tmp_path)
    assert made == 2 * [search.name for group in groups() for search in group]
