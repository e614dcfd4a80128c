"""The checker in one pass: what it refuses, what it must not refuse, and what it says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.chaos.checking import fences
from tests.chaos.checking.script import ALICE, BOB, JUDGE, NEVER, REX, RITA, Who, history
from tests.chaos.history import Event


def _refused(*operations: list[Event]) -> list[str]:
    return fences.check(history(*operations)).violations


_HELD = ALICE.acquires(10, 20, fence=5, until=100)
_READ = REX.acquires(10, 20, fence=5, until=100)


def test_two_holders_at_the_same_time_are_refused_with_their_names_operations_fences_and_times() -> None:
    (sentence,) = _refused(_HELD, BOB.acquires(30, 60, fence=6, until=200))
    assert sentence == (
        "lock 'orders': exclusive lease 10 of client alice (fence 5, 0.000000020..0.000000100) and exclusive lease 30 "
        "of client bob (fence 6, 0.000000060..0.000000200) were held at the same time"
    )


@pytest.mark.parametrize(
    "second",
    [
        REX.acquires(30, 60, fence=6, until=70),
        BOB.acquires(30, 99, fence=6, until=200),
        [*BOB.acquires(30, 60, fence=6, until=200), *BOB.releases(60, 61, fence=6)],
    ],
    ids=["a reader", "at the last instant", "for an instant"],
)
def test_nobody_may_hold_beside_an_exclusive_holder(second: list[Event]) -> None:
    assert len(_refused(_HELD, second)) == 1


def test_nobody_may_hold_exclusively_beside_a_reader() -> None:
    assert len(_refused(_READ, BOB.acquires(30, 60, fence=6, until=200))) == 1


def test_a_long_reader_is_not_forgotten_behind_a_short_one() -> None:
    short = [*RITA.acquires(30, 40, fence=6, until=200), *RITA.releases(50, 51, fence=6)]
    assert len(_refused(_READ, short, BOB.acquires(55, 60, fence=7, until=200))) == 1


def test_a_long_holder_is_not_forgotten_behind_one_that_should_not_have_been() -> None:
    short = [*BOB.acquires(30, 40, fence=6, until=200), *BOB.releases(50, 51, fence=6)]
    assert len(_refused(_HELD, short, REX.acquires(55, 60, fence=7, until=70))) == 2


def test_readers_may_hold_beside_each_other_and_need_not_exceed_each_other() -> None:
    assert _refused(_READ, RITA.acquires(30, 60, fence=5, until=200)) == []
    assert _refused(_READ, RITA.acquires(30, 60, fence=4, until=200)) == []


@pytest.mark.parametrize(
    "end",
    [
        ALICE.releases(50, 90, fence=5),
        ALICE.releases(50, 90, fence=5, phase="ambiguous"),
        ALICE.releases(50, 90, fence=5)[:1],
        ALICE.is_told_of_loss(60, fence=5),
    ],
    ids=["released", "perhaps released", "died while releasing", "lost"],
)
def test_the_next_one_may_hold_as_soon_as_the_one_before_relies_on_nothing(end: list[Event]) -> None:
    assert _refused(_HELD, end, BOB.acquires(30, 60, fence=6, until=200)) == []


def test_the_next_one_may_hold_when_a_lease_has_run_out() -> None:
    assert _refused(_HELD, BOB.acquires(30, 100, fence=6, until=200)) == []


def test_a_renewed_lease_excludes_others_for_longer() -> None:
    renewed = ALICE.releases(150, 160, fence=5, until=190)
    assert len(_refused(_HELD, renewed, BOB.acquires(30, 120, fence=6, until=200))) == 1


def test_an_acquisition_that_may_have_succeeded_is_held_against_nobody() -> None:
    assert _refused(_HELD, BOB.asks(30)) == []
    assert _refused(_HELD, BOB.acquires(30, 40, fence=0, until=0, phase="ambiguous")) == []


@pytest.mark.parametrize("fence", [5, 4])
@pytest.mark.parametrize(("before", "after"), [(_HELD, BOB), (_HELD, RITA), (_READ, BOB)])
def test_a_fence_must_exceed_those_before_it(before: list[Event], after: Who, fence: int) -> None:
    sentences = _refused(before, after.acquires(110, 120, fence=fence, until=200))
    assert any("does not exceed" in sentence for sentence in sentences)
    assert _refused(before, after.acquires(110, 120, fence=6, until=200)) == []


def test_a_reader_s_fence_must_exceed_that_of_a_writer_longer_ago() -> None:
    other_reader = RITA.acquires(110, 120, fence=7, until=200)
    assert len(_refused(_HELD, other_reader, REX.acquires(130, 140, fence=4, until=200))) == 1


def test_no_order_is_known_of_a_lease_that_was_over_when_known_of() -> None:
    late = BOB.acquires(5, 120, fence=4, until=NEVER)
    assert _refused(_HELD, late) == []
    assert len(_refused(_HELD, BOB.acquires(21, 120, fence=4, until=NEVER))) == 1


def test_a_late_lease_has_its_place_before_whoever_asked_after_it_was_known_of() -> None:
    late = BOB.acquires(5, 20, fence=9, until=NEVER)
    assert len(_refused(late, ALICE.acquires(21, 30, fence=8, until=100))) == 1


def test_no_two_have_the_same_fence_if_one_is_exclusive() -> None:
    late = BOB.acquires(5, 120, fence=5, until=NEVER)
    assert ["same fence" in sentence for sentence in _refused(_HELD, late)] == [True]
    assert ["same fence" in sentence for sentence in _refused(_READ, late)] == [True]


def test_every_lease_has_a_fence() -> None:
    assert ["has no fence" in sentence for sentence in _refused(ALICE.acquires(10, 20, fence=0, until=100))] == [True]


def test_only_the_owner_may_release() -> None:
    stolen = BOB.releases(30, 40, fence=5)
    assert ["never acquired" in sentence for sentence in _refused(_HELD, stolen)] == [True]
    assert _refused(_HELD, BOB.releases(30, 40, fence=5, phase="fail")) == []
    assert _refused(_HELD, BOB.asks(25), stolen) == []


def test_every_lock_is_judged_by_itself() -> None:
    other = [replace(event, lock="invoices") for event in BOB.acquires(30, 60, fence=6, until=200)]
    assert _refused(_HELD, other) == []


def test_it_says_how_much_it_looked_at() -> None:
    verdict = fences.check(
        history(
            _HELD,
            ALICE.reads(30, 31, fence=5, value=0),
            ALICE.writes(32, 33, fence=5, value=1),
            ALICE.releases(40, 50, fence=5),
            BOB.acquires(30, 60, fence=6, until=200),
            BOB.reads(70, 71, fence=6, value=0, phase="fail"),
            REX.asks(70),
            BOB.writes(80, 81, fence=6, value=2, phase="ambiguous"),
            JUDGE.reads(300, 301, fence=0, value=1),
            torn=2,
        )
    )
    assert verdict.holds
    assert verdict.counts == {
        "files": 1,
        "torn": 2,
        "locks": 1,
        "operations": 9,
        "leases": 2,
        "pairs": 1,
        "fences": 2,
        "reads": 2,
        "writes": 1,
        "last looks": 1,
        "refused": 1,
        "ambiguous/acquire": 1,
        "ambiguous/write": 1,
        "violations": 0,
    }


def test_all_violations_are_counted_and_the_first_hundred_of_a_lock_are_told() -> None:
    holders = [BOB.acquires(number, number, fence=number, until=1_000_000) for number in range(1, 152)]
    verdict = fences.check(history(*holders))
    assert (verdict.counts["violations"], len(verdict.violations)) == (150, 100)
