"""What spin prints is read strictly: only a whole search counts, and only the expected violation refutes a mutant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model import checking
from tests.model.checking import Found, SearchFailed, check, complaints, parse
from tests.model.plan import Search
from tests.model.tools import REQUIRED, require_tools

WHOLE = """
(Spin Version 6.5.2 -- 6 December 2019)
\t+ Partial Order Reduction

Full statespace search for:
\tnever claim         \t- (none specified)
\tassertion violations\t+
\tcycle checks       \t- (disabled by -DSAFETY)
\tinvalid end states\t+

State-vector 284 byte, depth reached 45, errors: 0
    69776 states, stored
   170654 states, matched
   240430 transitions (= stored+matched)

Stats on memory usage (in Megabytes):
   15.116\tactual memory usage for states (compression: 72.81%)
  164.402\ttotal actual memory usage

pan: elapsed time 1.97 seconds
"""
REFUTED = "pan:1: assertion violated (fence>top) (at depth 24)\npan: wrote fences.pml.trail\n" + WHOLE.replace(
    "2019)", "2019)\nWarning: Search not completed"
).replace("errors: 0", "errors: 1")
HOLDS = Search("fences", "calm", what="3 nodes")
MUTANT = Search("fences", "NO_RAISE", violates=r"assertion violated \(fence")


def test_a_whole_search_is_read() -> None:
    found = parse(WHOLE, seconds=2.0)
    assert found == Found(states=69_776, depth=45, megabytes=164.402, seconds=2.0)
    assert complaints(HOLDS, found) == []


def test_a_violation_is_read_with_its_words_and_depth() -> None:
    found = parse(REFUTED)
    assert (found.violated, found.violated_at) == ("assertion violated (fence>top)", 24)
    (complaint,) = complaints(HOLDS, found)
    assert complaint == (
        "fences/calm: assertion violated (fence>top) after 24 steps; again with: python -m tests.model fences/calm"
    )


def test_states_of_a_search_for_cycles_are_those_stored_not_those_visited() -> None:
    output = WHOLE.replace("69776 states, stored", "8958 states, stored (32298 visited)")
    assert parse(output).states == 8_958


@pytest.mark.parametrize(
    "output",
    [
        "error: max search depth too small\n" + WHOLE,
        "pan: reached -DMEMLIM bound\n" + WHOLE,
        WHOLE.replace("2019)", "2019)\nWarning: Search not completed"),
        WHOLE.replace("Full statespace search", "Bit statespace search"),
        WHOLE.replace("Full statespace search", "Hash-Compact 4 search"),
    ],
)
def test_a_search_that_was_cut_short_is_not_exhaustive(output: str) -> None:
    found = parse(output)
    assert found.cut
    assert "is not exhaustive" in complaints(HOLDS, found)[0]


@pytest.mark.parametrize("output", ["", "pan: error: too many processes", WHOLE.replace("errors: 0", "")])
def test_output_without_a_summary_is_refused(output: str) -> None:
    with pytest.raises(SearchFailed, match="no summary"):
        parse(output)


@pytest.mark.parametrize("output", [WHOLE.replace("errors: 0", "errors: 1"), REFUTED.replace("errors: 1", "errors: 0")])
def test_output_whose_count_of_errors_disagrees_with_its_words_is_refused(output: str) -> None:
    with pytest.raises(SearchFailed, match="errors, yet"):
        parse(output)


def test_a_mutant_is_refuted_by_what_it_must_violate_and_nothing_else() -> None:
    assert complaints(MUTANT, parse(REFUTED)) == []
    other = REFUTED.replace("(fence>top)", "nfull(up)")
    assert "is not refuted by" in complaints(MUTANT, parse(other))[0]


def test_a_mutant_that_survives_is_a_violation_even_when_its_search_was_cut_short() -> None:
    (complaint,) = complaints(MUTANT, parse(WHOLE))
    assert "nothing violated in 69,776 states; again with: python -m tests.model fences/NO_RAISE" in complaint
    assert complaints(MUTANT, parse("error: max search depth too small\n" + WHOLE))


def test_tools_that_are_missing_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="spin and gcc and setpriv: install the Debian packages"):
        check(HOLDS, tmp_path)


def test_only_where_they_are_required_is_it_a_failure_that_tools_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="missing: spin and gcc and setpriv"):
        require_tools()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises((AssertionError, pytest.skip.Exception), match="missing: spin and gcc and setpriv") as ended:
        require_tools()
    assert ended.type is AssertionError


def test_a_model_that_spin_refuses_is_no_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_tools()
    (tmp_path / "broken.pml").write_text("active proctype A() { x = }", encoding="utf-8")
    monkeypatch.setattr(checking, "MODELS", tmp_path)
    with pytest.raises(SearchFailed, match=r"broken/any: spin refuses broken\.pml: .*broken"):
        check(Search("broken", "any"), tmp_path)
