"""The fence: the largest of the grants that count, and a majority stands at exactly that."""

from __future__ import annotations

from lockmanager.actions import Held
from lockmanager.wire import Acquire, Raise
from tests.support.acquisition_cases import TICKET, TTL, Case, Kind, each_kind, news, sent

HIGH = TICKET + 7


def split_fences(kind: Kind) -> Case:
    """Return an acquisition that has its majority, of which only the first node stands at `HIGH`."""
    case = Case.waiting(kind)
    case.grant(case.nodes[0], fence=HIGH)
    case.grant_all(case.some[1:])
    return case


@each_kind
def test_granted_nodes_below_the_largest_fence_are_raised_to_it(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0], fence=HIGH)
    actions = case.grant_all(case.some[1:])
    assert sent(actions, Raise) == dict.fromkeys(case.some[1:], Raise(case.token, HIGH))
    assert news(actions) == []
    assert case.phase == "WAITING"


@each_kind
def test_the_lock_is_held_when_a_majority_stands_at_the_largest_fence(kind: Kind) -> None:
    case = split_fences(kind)
    answers = [case.raised(node, HIGH) for node in case.some[1:]]
    assert answers == [[] for _ in case.some[2:]] + [[Held(HIGH)]]


@each_kind
def test_nodes_are_raised_once_per_value(kind: Kind) -> None:
    case = split_fences(kind)
    assert case.wait(0.1) == []
    assert case.renewed(case.nodes[0]) == []
    late = case.grant(case.rest[0])
    assert sent(late, Raise) == {case.rest[0]: Raise(case.token, HIGH)}


@each_kind
def test_a_larger_fence_that_comes_late_raises_everybody_again(kind: Kind) -> None:
    case = split_fences(kind)
    actions = case.grant(case.rest[0], fence=HIGH + 5)
    assert sent(actions, Raise) == dict.fromkeys(case.some, Raise(case.token, HIGH + 5))


@each_kind
def test_an_answer_to_an_earlier_raise_is_not_enough_for_a_later_fence(kind: Kind) -> None:
    case = split_fences(kind)
    case.grant(case.rest[0], fence=HIGH + 5)
    assert [case.raised(node, HIGH) for node in case.some] == [[] for _ in case.some]
    assert not case.held


@each_kind
def test_a_node_that_grants_at_the_fence_saves_the_wait_for_a_raise(kind: Kind) -> None:
    case = split_fences(kind)
    answers = [case.grant(node, fence=HIGH) for node in case.rest]
    assert answers[-1] == [Held(HIGH)]


@each_kind
def test_no_node_is_raised_below_a_majority_of_grants(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert case.grant_all(case.some[:-1], fence=HIGH) == []


def test_a_raise_answered_with_more_is_the_fence_there() -> None:
    case = Case.waiting()
    case.grant("node1", fence=HIGH)
    case.grant("node2")
    actions = case.raised("node2", HIGH + 3)
    assert sent(actions, Raise) == {"node1": Raise(case.token, HIGH + 3)}
    assert case.raised("node1", HIGH + 3) == [Held(HIGH + 3)]


def test_a_grant_without_bound_is_raised_with_the_others() -> None:
    case = Case.waiting(Kind(mode=Case().kind.mode, size=5))
    case.grant("node1", resent=True)
    case.grant("node2", fence=HIGH)
    case.grant("node3")
    assert set(sent(case.grant("node4"), Raise)) == {"node1", "node3", "node4"}


@each_kind
def test_a_node_that_came_back_is_asked_again_and_then_raised_again(kind: Kind) -> None:
    case = split_fences(kind)
    back = case.some[1]
    case.down(back)
    actions = case.up(back)
    messages = [action.message for action in actions if hasattr(action, "message")]
    assert [type(message) for message in messages] == [Acquire, Raise]
    assert sent(actions, Raise) == {back: Raise(case.token, HIGH)}


@each_kind
def test_a_node_that_stood_at_the_fence_before_it_came_back_is_not_raised(kind: Kind) -> None:
    case = split_fences(kind)
    case.down(case.nodes[0])
    assert sent(case.up(case.nodes[0]), Raise) == {}


def test_the_fence_of_a_lease_stays_when_nodes_are_filled_at_larger_ones() -> None:
    case = Case.holding()
    assert case.grant("node3", fence=HIGH) == []
    assert case.acquisition.fence == TICKET


def test_a_holder_raises_nobody() -> None:
    case = Case.holding(ttl=TTL)
    actions = case.grant("node3", fence=HIGH) + case.wait(0.1)
    assert sent(actions, Raise) == {}
