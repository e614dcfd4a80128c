"""A long history is cut where the state of the lock is known, and the slices together say what the whole says."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.checking import exhaustive, fences
from tests.chaos.checking.generate import Shape, valid_history
from tests.chaos.checking.linearizability import Answer, linearizable
from tests.chaos.checking.models import NOBODY, FencedMutex, SharedExclusive, Start
from tests.chaos.checking.operations import LockHistory, by_lock
from tests.chaos.checking.perturb import perturbed
from tests.chaos.checking.script import ALICE, BOB, NEVER, REX, RITA, lock_history
from tests.chaos.checking.slices import cut, uncut
from tests.chaos.history import BrokenHistory, Event

_A = [*ALICE.acquires(10, 20, fence=1, until=500), *ALICE.releases(30, 40, fence=1)]
_B = [*BOB.acquires(11, 50, fence=2, until=500), *BOB.releases(60, 70, fence=2)]
_R = [*REX.acquires(10, 20, fence=1, until=500), *REX.releases(30, 40, fence=1)]


def _starts(*operations: list[Event], about: int = 1) -> list[Start]:
    return [each.start for each in cut(lock_history(*operations), about).slices]


def _held(fence: int) -> Start:
    return Start(holder=0, last_exclusive=fence, last=fence)


def test_it_cuts_where_an_exclusive_holder_learns_that_it_holds() -> None:
    assert _starts(_A, _B) == [Start(), _held(1), _held(2)]


def test_it_does_not_cut_where_a_reader_holds() -> None:
    assert _starts(_R, RITA.acquires(15, 25, fence=1, until=500)) == [Start()]


def test_it_cuts_where_nothing_is_held_or_on_its_way() -> None:
    other = REX.acquires(101, 120, fence=2, until=500)
    assert _starts(_R, other) == [Start(), Start(holder=NOBODY, last_exclusive=0, last=1)]


@pytest.mark.parametrize("begin", [15, 39])
def test_it_does_not_cut_while_something_is_on_its_way(begin: int) -> None:
    assert _starts(_R, RITA.acquires(begin, 120, fence=2, until=500)) == [Start()]


def test_what_ran_out_is_over_even_if_nobody_gave_it_back() -> None:
    short = REX.acquires(10, 20, fence=1, until=90)
    assert len(_starts(short, RITA.acquires(91, 120, fence=2, until=500))) == 2
    assert len(_starts(short, RITA.acquires(90, 120, fence=2, until=500))) == 1
    assert len(_starts(_R[:2], _R[2:3], RITA.acquires(91, 120, fence=2, until=500))) == 1


def test_it_does_not_cut_while_a_lease_is_on_its_way_that_may_already_be_over() -> None:
    late = BOB.acquires(15, 100, fence=9, until=NEVER)
    assert _starts(_A, late) == [Start()]
    after = BOB.acquires(21, 100, fence=9, until=NEVER)
    assert _starts(_A, after) == [Start(), _held(1)]


def test_neighbours_are_joined_up_to_so_many_operations() -> None:
    assert [len(each.operations) for each in cut(lock_history(_A, _B), 1).slices] == [1, 2, 1]
    assert [len(each.operations) for each in cut(lock_history(_A, _B), 3).slices] == [3, 1]
    assert [len(each.operations) for each in cut(lock_history(_A, _B), 4).slices] == [4]


def test_every_operation_is_in_one_slice_or_left_out() -> None:
    readers = [RITA.acquires(100 + number, 200 + number, fence=3, until=500) for number in range(9)]
    slicing = cut(lock_history(_A, _B, *readers), 4, most=8)
    assert [len(each.operations) for each in slicing.slices] == [4]
    assert slicing.left_out == 9


def test_what_is_left_out_and_what_is_skipped_is_said() -> None:
    readers = [RITA.acquires(100 + number, 200 + number, fence=3, until=500) for number in range(9)]
    lock = lock_history(_A, _B, *readers)
    counts = exhaustive.check_lock(lock, about=1, most=8).counts
    assert counts == {"operations": 13, "slices": 3, "left out": 9, "searched": 4, "undecided": 0}
    counts = exhaustive.check_lock(lock, about=1, most=20, every=2).counts
    assert counts == {"operations": 13, "slices": 4, "left out": 0, "searched": 2, "undecided": 0}


def test_a_release_that_failed_freed_nothing_and_is_nobody_s_fault() -> None:
    failed = ALICE.releases(30, 40, fence=1, phase="fail")
    next_one = BOB.acquires(50, 60, fence=2, until=500)
    assert exhaustive.check_lock(lock_history(_A[:2], failed, BOB.releases(30, 40, fence=1, phase="fail"))).holds
    assert not exhaustive.check_lock(lock_history(_A[:2], failed, next_one)).holds


def test_only_releases_that_succeeded_can_be_wrong() -> None:
    ambiguous = BOB.releases(30, 40, fence=1, phase="ambiguous")
    assert exhaustive.check_lock(lock_history(_A, ambiguous)).counts["operations"] == 2
    assert not exhaustive.check_lock(lock_history(_A, BOB.releases(30, 40, fence=1))).holds


def test_what_is_undecided_is_neither_refused_nor_counted_as_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustive, "linearizable", lambda *_: Answer.UNDECIDED)
    verdict = exhaustive.check_lock(lock_history(_A, _B))
    assert verdict.holds
    assert (verdict.counts["undecided"], verdict.counts["searched"]) == (4, 0)


def test_fences_are_told_by_the_simplest_model_that_knows_both_modes() -> None:
    assert isinstance(exhaustive.model_for(uncut(lock_history(_A, _B))), FencedMutex)
    assert isinstance(exhaustive.model_for(uncut(lock_history(_A, _R))), SharedExclusive)


def test_a_slice_without_an_explanation_is_told_with_all_its_operations() -> None:
    lock = lock_history(_A, BOB.acquires(11, 25, fence=2, until=500))
    (sentence,) = exhaustive.check_lock(lock).violations
    assert sentence.startswith("lock 'orders': no order explains 0.000000010..0.000000040")
    for client in ("acquire 10 of client alice (fence 1", "acquire 11 of client bob (fence 2", "release 30 of client"):
        assert client in sentence


def _by_whole(lock: LockHistory) -> bool:
    whole = uncut(lock)
    answer = linearizable(whole.steps, exhaustive.model_for(whole), whole.start)
    assert answer is not Answer.UNDECIDED
    return answer is Answer.YES


def _by_slices(lock: LockHistory, about: int) -> bool:
    verdict = exhaustive.check_lock(lock, about=about)
    assert verdict.counts["searched"] == verdict.counts["operations"]
    return verdict.holds


def _in_one_pass(lock: LockHistory) -> bool:
    rules = (fences.exclusion, fences.order, fences.repetition, fences.ownership)
    return not any(list(rule(lock)) for rule in rules)


def _perturbed(seed: int) -> LockHistory | None:
    """Return a small history that may be wrong or not; None if it contradicts itself."""
    shared, trouble = (0, 0.3, 0.7)[seed % 3], (0.06, 0.2)[seed % 2]
    shape = Shape(clients=2 + seed % 3, rounds=2 + seed % 3, shared=shared, trouble=trouble)
    try:
        (lock,) = by_lock(perturbed(valid_history(seed, shape), seed))
    except BrokenHistory:
        return None
    return lock


def test_slices_whole_histories_and_the_single_pass_agree_on_histories_changed_at_random() -> None:
    found: Counter[tuple[bool, bool]] = Counter()
    for seed in range(600):
        lock = _perturbed(seed)
        if lock is None:
            continue
        whole, one_pass = _by_whole(lock), _in_one_pass(lock)
        assert _by_slices(lock, about=1 + seed % 16) is whole, f"seed {seed}"
        found[whole, one_pass] += 1
        is_clear = all(lease.held for lease in lock.leases)
        assert one_pass is whole or (one_pass and not is_clear), (
            f"seed {seed}: {whole} as a whole, {one_pass} in one pass"
        )
    assert found[True, True] > 250
    assert found[False, False] > 70
