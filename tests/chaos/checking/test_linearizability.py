"""The exhaustive search: what each model allows, and that the search finds an order exactly when there is one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, permutations
from random import Random

import pytest

from tests.chaos.checking.linearizability import Answer, linearizable
from tests.chaos.checking.models import UNOWNED, FencedMutex, Model, Mutex, SharedExclusive, Start, Step
from tests.chaos.history import FOREVER

_MODELS = [Mutex(), FencedMutex(), SharedExclusive()]
_FENCED = _MODELS[1:]


def _acquire(lease: int, begin: int, end: int = FOREVER, *, fence: int = 0, shared: bool = False) -> Step:
    given = fence or (lease if end != FOREVER else 0)
    return Step(kind="acquire", lease=lease, begin=begin, end=end, fence=given, exclusive=not shared)


def _release(lease: int, begin: int, end: int = FOREVER) -> Step:
    return Step(kind="release", lease=lease, begin=begin, end=end)


def _expire(lease: int, begin: int) -> Step:
    return Step(kind="expire", lease=lease, begin=begin)


def _is_fine(model: Model, *steps: Step, start: Start | None = None) -> bool:
    answer = linearizable(steps, model, start or Start())
    assert answer is not Answer.UNDECIDED
    return answer is Answer.YES


@pytest.mark.parametrize("model", _MODELS)
class TestAnyModel:
    def test_one_after_the_other_is_fine(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1, 2), _release(1, 3, 4), _acquire(2, 5, 6))

    def test_two_owners_are_refused(self, model: Model) -> None:
        assert not _is_fine(model, _acquire(1, 1, 2), _acquire(2, 3, 4), _release(1, 5, 6))

    def test_overlapping_operations_may_take_effect_in_the_order_that_fits(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1, 9), _release(1, 10, 20), _acquire(2, 2, 11))

    def test_a_lease_may_end_by_itself_but_not_before_its_end(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1, 2), _expire(1, 8), _acquire(2, 3, 9))
        assert not _is_fine(model, _acquire(1, 1, 2), _expire(1, 8), _acquire(2, 3, 7))

    def test_a_lease_that_has_run_out_may_stand_for_longer(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1, 2), _expire(1, 3), _release(1, 8, 9), _acquire(2, 4, 10))

    def test_a_release_after_the_end_has_no_effect(self, model: Model) -> None:
        late = [_acquire(1, 1, 2), _expire(1, 3), _acquire(2, 4, 5), _release(1, 6, 7)]
        assert _is_fine(model, *late)
        assert not _is_fine(model, *late, _acquire(3, 8, 9))

    def test_a_release_by_somebody_else_is_refused(self, model: Model) -> None:
        assert not _is_fine(model, _acquire(1, 1, 2), _release(UNOWNED, 3, 4))
        assert not _is_fine(model, _release(UNOWNED, 3, 4))

    def test_a_release_cannot_come_before_its_acquisition(self, model: Model) -> None:
        assert not _is_fine(model, _release(1, 1, 2), _acquire(1, 3, 4))

    def test_an_ambiguous_acquisition_may_have_happened_or_not(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1), _acquire(2, 2, 3, fence=5))
        assert _is_fine(model, _acquire(1, 1), _release(1, 5, 6), _acquire(2, 7, 8, fence=5))
        assert not _is_fine(model, _acquire(1, 3), _release(1, 1, 2))

    def test_an_ambiguous_release_may_have_happened_or_not_from_its_begin_on(self, model: Model) -> None:
        assert _is_fine(model, _acquire(1, 1, 2), _release(1, 3), _acquire(2, 4, 5))
        assert _is_fine(model, _acquire(1, 1, 2), _release(1, 3), _release(1, 6, 7))
        assert not _is_fine(model, _acquire(1, 1, 2), _acquire(2, 3, 4), _release(1, 5))

    def test_it_starts_with_whoever_holds_then(self, model: Model) -> None:
        start = Start(holder=7, last_exclusive=1, last=1)
        assert _is_fine(model, _release(7, 1, 2), _acquire(8, 3, 4), start=start)
        assert _is_fine(model, _expire(7, 1), _acquire(8, 3, 4), start=start)
        assert not _is_fine(model, _acquire(8, 3, 4), _release(7, 5, 6), start=start)


def test_a_mutex_knows_nothing_of_fences() -> None:
    assert _is_fine(Mutex(), _acquire(1, 1, 2, fence=9), _release(1, 3, 4), _acquire(2, 5, 6, fence=1))


@pytest.mark.parametrize("model", _FENCED)
@pytest.mark.parametrize("fence", [0, 8, 9])
def test_a_fence_that_does_not_rise_is_refused(model: Model, fence: int) -> None:
    again = Step(kind="acquire", lease=2, begin=5, end=6, fence=fence)
    assert not _is_fine(model, _acquire(1, 1, 2, fence=9), _release(1, 3, 4), again)
    assert not _is_fine(model, again, start=Start(last_exclusive=9, last=9))


@pytest.mark.parametrize("model", _FENCED)
def test_operations_at_the_same_time_go_in_the_order_of_their_fences(model: Model) -> None:
    steps = [_acquire(1, 1, 9, fence=2), _expire(1, 2), _acquire(2, 1, 9, fence=1), _expire(2, 2)]
    assert _is_fine(model, *steps)
    assert not _is_fine(model, *steps, _acquire(3, 1, 9, fence=2), _expire(3, 2))


@pytest.mark.parametrize("model", _FENCED)
def test_an_ambiguous_acquisition_that_had_effect_took_a_fence_in_between(model: Model) -> None:
    around = [_acquire(1, 1, 2, fence=5), _release(1, 3, 4), _acquire(2, 5), _release(2, 6, 7)]
    assert _is_fine(model, *around, _acquire(3, 8, 9, fence=7))
    assert not _is_fine(model, *around, _acquire(3, 8, 9, fence=6))


class TestSharedExclusive:
    model = SharedExclusive()

    def test_readers_hold_together(self) -> None:
        assert _is_fine(self.model, _acquire(1, 1, 2, shared=True), _acquire(2, 3, 4, fence=1, shared=True))

    def test_a_writer_excludes_readers_and_readers_a_writer(self) -> None:
        assert not _is_fine(self.model, _acquire(1, 1, 2), _acquire(2, 3, 4, shared=True))
        assert not _is_fine(self.model, _acquire(1, 1, 2, shared=True), _acquire(2, 3, 4))

    def test_a_writer_waits_for_the_last_reader(self) -> None:
        readers = [_acquire(1, 1, 2, shared=True), _acquire(2, 1, 2, shared=True), _release(1, 3, 4)]
        assert not _is_fine(self.model, *readers, _acquire(3, 5, 6))
        assert _is_fine(self.model, *readers, _release(2, 3, 4), _acquire(3, 5, 6))

    def test_a_reader_exceeds_the_writers_before_it_and_a_writer_exceeds_all(self) -> None:
        start = Start(last_exclusive=5, last=8)
        assert not _is_fine(self.model, _acquire(1, 1, 2, fence=5, shared=True), start=start)
        assert _is_fine(self.model, _acquire(1, 1, 2, fence=6, shared=True), start=start)
        assert not _is_fine(self.model, _acquire(1, 1, 2, fence=8), start=start)
        assert _is_fine(self.model, _acquire(1, 1, 2, fence=9), start=start)

    def test_a_reader_below_another_reader_does_not_lower_what_a_writer_must_exceed(self) -> None:
        readers = [_acquire(1, 1, 2, fence=8, shared=True), _acquire(2, 3, 4, fence=6, shared=True)]
        released = [_release(1, 5, 6), _release(2, 5, 6)]
        assert not _is_fine(self.model, *readers, *released, _acquire(3, 7, 8, fence=7))


def test_a_search_that_reaches_too_much_is_undecided() -> None:
    readers = [_acquire(number, 1, 100, fence=5, shared=True) for number in range(1, 10)]
    refused = [*readers, _acquire(10, 101, 102, fence=1)]
    assert linearizable(refused, SharedExclusive(), Start(), most_states=100) is Answer.UNDECIDED
    assert linearizable(refused, SharedExclusive(), Start()) is Answer.NO


def _by_trying_everything(steps: Sequence[Step], model: Model) -> bool:
    required = [step for step in steps if step.end != FOREVER]
    optional = [step for step in steps if step.end == FOREVER]
    chosen = (required + list(some) for count in range(len(optional) + 1) for some in combinations(optional, count))
    return any(_explains(order, steps, model) for some in chosen for order in permutations(some))


def _explains(order: Sequence[Step], steps: Sequence[Step], model: Model) -> bool:
    acquired = {step.lease for step in steps if step.kind == "acquire"}
    state: Hashable | None = model.begin(Start())
    seen: set[int] = set()
    for number, step in enumerate(order):
        is_early = any(later.end < step.begin for later in order[number:])
        is_foreign = step.kind != "acquire" and (step.lease == UNOWNED or step.lease in acquired - seen)
        state = None if is_early or is_foreign or state is None else model.take(state, step)
        if state is None:
            return False
        seen.add(step.lease)
    return True


def _some_steps(chance: Random) -> list[Step]:
    """Make a few steps at random, most of them close to being fine."""
    steps = []
    for lease in range(1, chance.randint(2, 3) + 1):
        instants = sorted(chance.sample(range(12), 4))
        ends = [end if chance.random() < 0.8 else FOREVER for end in instants]
        fence = chance.choice([lease, lease, chance.randint(1, 3)]) if ends[1] != FOREVER else 0
        kind, owner = chance.choice([("release", lease)] * 3 + [("expire", lease)] * 2 + [("release", UNOWNED)])
        acquire = _acquire(lease, instants[0], ends[1], fence=fence, shared=chance.random() < 0.3)
        end = _release(owner, instants[2], ends[3]) if kind == "release" else _expire(lease, instants[2])
        steps += [acquire, end]
    return chance.sample(steps, len(steps))


@pytest.mark.parametrize("model", _MODELS)
def test_the_search_agrees_with_trying_every_order(model: Model) -> None:
    answers = []
    for seed in range(150):
        steps = _some_steps(Random(seed))
        expected = _by_trying_everything(steps, model)
        assert _is_fine(model, *steps) is expected, f"seed {seed}: {steps}"
        answers.append(expected)
    assert 30 < sum(answers) < 120
