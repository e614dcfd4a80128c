"""The resource that a lock guards: which accesses are refused, and which are not."""

from __future__ import annotations

import pytest

from tests.chaos.checking.counter import accesses
from tests.chaos.checking.script import ALICE, BOB, JUDGE, NEVER, REX, RITA, lock_history
from tests.chaos.history import Event

_A = ALICE.acquires(10, 20, fence=5, until=100)
_B = BOB.acquires(101, 120, fence=6, until=200)
_FIRST = [*_A, *ALICE.reads(30, 31, fence=5, value=0), *ALICE.writes(32, 33, fence=5, value=1)]
_SECOND = [*_B, *BOB.reads(130, 131, fence=6, value=1), *BOB.writes(132, 133, fence=6, value=2)]


def _refused(*operations: list[Event]) -> list[str]:
    return list(accesses(lock_history(*operations)))


def test_updates_one_after_the_other_are_fine() -> None:
    assert _refused(_FIRST, _SECOND, JUDGE.reads(300, 301, fence=0, value=2)) == []


def test_two_accepted_writes_of_one_value_are_a_lost_update() -> None:
    over = [*_B, *BOB.reads(130, 131, fence=6, value=0), *BOB.writes(132, 133, fence=6, value=1)]
    found = _refused(_FIRST, over)
    assert any(sentence.startswith("an update was lost: write 32 of client alice") for sentence in found)


def test_a_write_that_nobody_sees_afterwards_is_refused() -> None:
    (sentence,) = _refused(_FIRST, _SECOND, JUDGE.reads(300, 301, fence=0, value=1))
    assert "read 300 of client judge" in sentence
    assert "does not see write 132 of client bob" in sentence


def test_a_read_beside_a_write_may_see_it_or_not() -> None:
    assert _refused(_FIRST, _SECOND, JUDGE.reads(132, 140, fence=0, value=1)) == []
    assert _refused(_FIRST, _SECOND, JUDGE.reads(120, 132, fence=0, value=2)) == []


def test_a_read_sees_nothing_that_was_not_yet_written() -> None:
    (sentence,) = _refused(_FIRST, _SECOND, JUDGE.reads(120, 131, fence=0, value=2))
    assert "before it begins" in sentence


@pytest.mark.parametrize("value", [3, -1])
def test_a_value_that_nobody_wrote_is_refused(value: int) -> None:
    found = _refused(_FIRST, _SECOND, JUDGE.reads(300, 301, fence=0, value=value))
    assert any("a value that nobody wrote" in sentence for sentence in found)


def test_a_gap_between_the_values_is_refused() -> None:
    skipped = [*_B, *BOB.reads(130, 131, fence=6, value=2), *BOB.writes(132, 133, fence=6, value=3)]
    found = _refused(_FIRST, skipped)
    assert "nobody wrote 2..2, and yet the resource came to 3" in found


def test_a_huge_gap_is_told_in_one_sentence() -> None:
    assert len(_refused(_FIRST, JUDGE.reads(300, 301, fence=0, value=10**15))) == 2


@pytest.mark.parametrize("phase", ["ambiguous", "begin"])
def test_an_ambiguous_write_may_have_happened_or_not(phase: str) -> None:
    perhaps = [*_B, *BOB.reads(130, 131, fence=6, value=1), *BOB.writes(132, 133, fence=6, value=2, phase="ambiguous")]
    perhaps = perhaps[:-1] if phase == "begin" else perhaps
    assert _refused(_FIRST, perhaps, JUDGE.reads(300, 301, fence=0, value=1)) == []
    assert _refused(_FIRST, perhaps, JUDGE.reads(300, 301, fence=0, value=2)) == []


def test_a_refused_write_has_not_happened() -> None:
    not_done = [*_B, *BOB.reads(130, 131, fence=6, value=1), *BOB.writes(132, 133, fence=6, value=2, phase="fail")]
    assert _refused(_FIRST, not_done, JUDGE.reads(300, 301, fence=0, value=1)) == []
    assert _refused(_FIRST, not_done, JUDGE.reads(300, 301, fence=0, value=2)) != []


@pytest.mark.parametrize("stale", [ALICE.writes(140, 141, fence=5, value=3), ALICE.reads(140, 141, fence=5, value=2)])
def test_no_access_is_accepted_after_one_with_a_larger_fence(stale: list[Event]) -> None:
    found = _refused(_FIRST, _SECOND, stale)
    assert any("was accepted after" in sentence and "(fence 6" in sentence for sentence in found)


def test_a_stale_access_may_be_accepted_as_long_as_nobody_newer_was_seen() -> None:
    assert _refused(_FIRST, _B, ALICE.writes(130, 131, fence=5, value=2), BOB.reads(140, 141, fence=6, value=2)) == []
    beside = BOB.reads(130, 140, fence=6, value=1)
    assert _refused(_FIRST, _B, beside, ALICE.writes(131, 132, fence=5, value=2)) == []
    assert _refused(_FIRST, _B, beside, ALICE.writes(140, 141, fence=5, value=2)) == []


def test_readers_need_not_exceed_each_other_but_writers_must_exceed_readers() -> None:
    one, other = REX.acquires(10, 20, fence=5, until=100), RITA.acquires(10, 20, fence=6, until=100)
    seen = RITA.reads(30, 31, fence=6, value=0)
    assert _refused(one, other, seen, REX.reads(40, 41, fence=5, value=0)) == []
    late = ALICE.acquires(5, 20, fence=4, until=NEVER)
    assert any("was accepted after" in sentence for sentence in _refused(late, other, seen, _wrote(4)))


def _wrote(fence: int) -> list[Event]:
    return [*ALICE.reads(40, 41, fence=fence, value=0), *ALICE.writes(42, 43, fence=fence, value=1)]


def test_a_smaller_fence_on_top_of_a_larger_one_is_refused_even_if_the_writes_overlap() -> None:
    late = ALICE.acquires(9, 20, fence=3, until=NEVER)
    slow = [*ALICE.reads(30, 31, fence=3, value=0), *ALICE.writes(32, 200, fence=3, value=2)]
    quick = [*_B, *BOB.reads(130, 131, fence=6, value=0), *BOB.writes(132, 140, fence=6, value=1)]
    found = _refused(late, slow, quick)
    assert any("took effect on top of write 132 of client bob" in sentence for sentence in found)


def test_an_ambiguous_write_fills_a_gap_only_if_its_fence_has_its_turn() -> None:
    third = BOB.acquires(201, 220, fence=7, until=300)
    for fence, is_fine in [(5, False), (6, True)]:
        filler = REX._replace(mode="exclusive").writes(140, 141, fence=fence, value=3, phase="ambiguous")
        after = [*third, *BOB.reads(230, 231, fence=7, value=3), *BOB.writes(232, 233, fence=7, value=4)]
        found = _refused(_FIRST, _SECOND, filler, after)
        assert any("took effect on top" in sentence for sentence in found) is not is_fine


def test_a_value_is_not_written_before_a_smaller_one() -> None:
    early = [*_A, *ALICE.reads(30, 31, fence=5, value=1), *ALICE.writes(32, 33, fence=5, value=2)]
    late = [*_B, *BOB.reads(130, 131, fence=6, value=0), *BOB.writes(132, 133, fence=6, value=1)]
    assert any("whose value is smaller" in sentence for sentence in _refused(early, late))


def test_a_write_is_one_more_than_its_own_lease_saw_last() -> None:
    blind = [*_B, *BOB.writes(132, 133, fence=6, value=2)]
    assert any("saw last, nothing" in sentence for sentence in _refused(_FIRST, blind))
    twice = [*_SECOND, *BOB.writes(134, 135, fence=6, value=3)]
    assert _refused(_FIRST, twice) == []
    again = [*_SECOND, *BOB.writes(134, 135, fence=6, value=2)]
    assert any("saw last, 2" in sentence for sentence in _refused(_FIRST, again))


def test_a_write_needs_a_lease_of_its_own() -> None:
    stolen = [*JUDGE.reads(40, 41, fence=5, value=1), *JUDGE.writes(42, 43, fence=5, value=2)]
    found = _refused(_FIRST, stolen)
    assert ["never acquired" in sentence for sentence in found] == [True, True]
    assert _refused(_FIRST, JUDGE.asks(15), stolen) == []
    assert any("never acquired" in sentence for sentence in _refused(_FIRST, JUDGE.writes(42, 43, fence=0, value=2)))


def test_nothing_is_written_under_a_shared_lease() -> None:
    reader = REX.acquires(10, 20, fence=5, until=100)
    writing = [*REX.reads(30, 31, fence=5, value=0), *REX.writes(32, 33, fence=5, value=1)]
    found = _refused(reader, writing)
    assert ["was accepted under a shared lease 10 of client rex" in sentence for sentence in found] == [True]
