"""Nodes that are silent after a start: neither yes nor no, and never the end of a lease."""

from __future__ import annotations

from lockmanager.actions import Failed, Failure, Held
from lockmanager.wire import Acquire, Recovering, Release
from tests.support.acquisition_cases import (
    NOW,
    TICKET,
    TTL,
    Actions,
    Case,
    Kind,
    bound,
    each_kind,
    failure,
    news,
    sent,
)


def recovering(case: Case, *nodes: str) -> Actions:
    return [action for node in nodes for action in case.answer(node, Recovering(case.token))]


@each_kind
def test_a_silent_minority_costs_one_who_waits_nothing(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert recovering(case, *case.rest) == []
    assert Held(TICKET) in case.grant_all(case.some)


@each_kind
def test_one_who_waits_goes_on_waiting_and_is_granted_when_the_silence_ends(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert recovering(case, *case.nodes) == []
    assert case.wait(60) == []
    assert Held(TICKET) in case.grant_all(case.some)


@each_kind
def test_a_wait_that_ends_while_a_majority_is_silent_found_no_quorum(kind: Kind) -> None:
    case = Case.waiting(kind, deadline=2)
    recovering(case, *case.some)
    for node in case.rest:
        case.queue(node, "bob")
    assert failure(case.wait(2)) is Failure.UNREACHABLE
    assert case.acquisition.ballot.describe()[case.nodes[0]] == "recovering"


@each_kind
def test_a_try_fails_at_once_when_a_majority_cannot_say_yes(kind: Kind) -> None:
    case = Case.trial(kind)
    assert recovering(case, *case.some[:-1]) == []
    actions = recovering(case, case.some[-1])
    assert news(actions) == [Failed(Failure.UNREACHABLE)]
    case.assert_released_everywhere(actions)


@each_kind
def test_a_try_is_held_beside_a_silent_minority(kind: Kind) -> None:
    case = Case.trial(kind)
    recovering(case, *case.rest)
    assert Held(TICKET) in case.grant_all(case.some)


@each_kind
def test_a_renewal_that_meets_the_silence_moves_no_bound_and_loses_nothing(kind: Kind) -> None:
    case = Case.holding(kind)
    case.wait(3)
    assert recovering(case, *case.nodes) == []
    assert case.held
    assert case.acquisition.validity == bound(NOW)
    assert sent(case.acquisition.release(), Release).keys() == set(case.nodes)


@each_kind
def test_the_forgotten_grant_counts_until_its_bound(kind: Kind) -> None:
    """A node that forgot a grant is silent for longer than the grant could last."""
    case = Case.waiting(kind)
    for node in case.some[:-1]:
        case.grant(node)
    case.down(case.nodes[0])
    case.assert_acquires(case.up(case.nodes[0]), case.nodes[0])
    recovering(case, case.nodes[0])
    case.wait(1)
    assert Held(TICKET) in case.grant(case.some[-1])
    assert case.acquisition.validity == bound(NOW)


@each_kind
def test_the_forgotten_grant_does_not_count_past_its_bound(kind: Kind) -> None:
    case = Case.waiting(kind)
    for node in case.some[:-1]:
        case.grant(node)
    recovering(case, case.nodes[0])
    case.wait_until(bound(NOW))
    case.grant(case.some[-1])
    assert not case.held


@each_kind
def test_a_holder_that_fills_a_silent_node_stands_in_its_line(kind: Kind) -> None:
    case = Case.holding(kind)
    case.grant_all(case.rest)
    acquires = sent(case.lost(case.nodes[0]), Acquire)
    assert [acquire.wait for acquire in acquires.values()] == [True]
    assert recovering(case, case.nodes[0]) == []
    case.grant(case.nodes[0], ttl=TTL)
    assert case.recorded(case.nodes[0]) is not None
    assert case.held
