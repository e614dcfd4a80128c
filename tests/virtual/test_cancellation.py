"""A call that is cancelled, wherever it is, ends with the cancellation and leaves nothing behind anywhere.

Each run is a cluster of its own, of real nodes and coordinators in virtual time. What is looked at after each
cancellation is in `aftermath` and `striking`; a violation names the command that runs its case again.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.virtual.matrix import Tally, every_suspension, every_turn, twice
from tests.virtual.striking import Blow, Case, play
from tests.virtual.verbs import VERBS
from tests.virtual.weather import FAULTS

EVERY_VERB = pytest.mark.parametrize("verb", VERBS)
TURNS = 8
"""Of the turns of a call, about as many are struck here; the evidence strikes all of them."""


@EVERY_VERB
def test_cancelled_at_every_await_early_or_late_a_call_leaves_nothing(verb: str) -> None:
    tally = Tally()
    tally.strike_all(verb, 1, every_suspension)
    assert tally.violations == []
    assert tally.struck[verb] == tally.cases == 2 * tally.awaits > 0


@EVERY_VERB
def test_cancelled_between_any_two_turns_of_the_loop_a_call_leaves_nothing(verb: str) -> None:
    tally = Tally()
    tally.strike_all(verb, 2, partial(every_turn, at_most=TURNS))
    assert tally.violations == []
    assert tally.struck[verb] >= tally.cases - 1 > 0


@EVERY_VERB
def test_cancelled_twice_a_call_leaves_nothing(verb: str) -> None:
    tally = Tally()
    tally.strike_all(verb, 3, partial(twice, after=(2,)))
    assert tally.violations == []
    assert tally.struck[verb] == tally.cases > 0


@EVERY_VERB
def test_cancelled_while_wires_break_a_call_leaves_nothing(verb: str) -> None:
    tally = Tally()
    tally.strike_all(verb, 1, every_suspension, rough=True)
    tally.strike_all(verb, 2, partial(every_turn, at_most=4), rough=True)
    assert tally.violations == []
    assert tally.struck[verb] > 0


def test_the_second_cancellation_meets_calls_that_deal_with_the_first() -> None:
    tally = Tally()
    tally.strike_all("close", 1, partial(twice, after=(1, 2)))
    assert tally.struck_twice > 0


def test_every_fault_strikes_while_somebody_is_cancelled() -> None:
    tally = Tally()
    for seed in range(8):
        tally.strike_all("hold", seed, lambda _: [Blow(2)], rough=True)
    assert {fault for fault in FAULTS if not tally.faults[fault]} == set()


def test_a_case_says_how_to_run_it_again() -> None:
    case = Case("hold", 7, rough=True, blow=Blow(3, late=True, again=2))
    assert str(case) == "python -m tests.virtual 'hold' --seed 7 --rough --blow s3late+2"


@pytest.mark.parametrize("blow", [Blow(), Blow(3), Blow(3, late=True), Blow(turn=12), Blow(4, late=True, again=5)])
def test_a_blow_reads_what_it_wrote(blow: Blow) -> None:
    assert Blow.parse(str(blow)) == blow


def test_the_same_case_goes_the_same_way_again() -> None:
    case = Case("open by one node's URL", 5, rough=True, blow=Blow(4))
    first, second = play(case), play(case)
    assert (first.suspensions, first.turns, first.faults) == (second.suspensions, second.turns, second.faults)
