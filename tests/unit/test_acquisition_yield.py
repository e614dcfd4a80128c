"""Inquire and yield: one that does not hold the lock yet gives a grant back to whoever came before it."""

from __future__ import annotations

from lockmanager.actions import Held
from lockmanager.wire import Yield
from tests.support.acquisition_cases import TICKET, Case, Kind, each_kind, sent


@each_kind
def test_one_who_waits_forgets_the_grant_it_is_inquired_about_and_yields_it(kind: Kind) -> None:
    case = Case.waiting(kind)
    node = case.nodes[0]
    case.grant(node)
    grant_id = case.grants[node]
    assert sent(case.inquire(node), Yield) == {node: Yield(case.token, grant_id)}
    assert case.recorded(node) is None
    assert case.acquisition.ballot[node].yielded == grant_id
    assert case.acquisition.ballot[node].said.name == "QUEUED"


@each_kind
def test_a_grant_given_back_no_longer_counts(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    case.inquire(case.some[0])
    assert case.grant(case.some[-1]) == []
    assert case.grant(case.some[0]) == [Held(TICKET)]


@each_kind
def test_a_holder_ignores_an_inquiry(kind: Kind) -> None:
    case = Case.holding(kind)
    assert case.inquire(case.some[0]) == []
    assert case.recorded(case.some[0]) == case.grants[case.some[0]]


@each_kind
def test_an_inquiry_about_another_grant_than_the_one_recorded_is_ignored(kind: Kind) -> None:
    case = Case.waiting(kind)
    node = case.nodes[0]
    case.grant(node)
    assert case.inquire(node, (7, 12_345)) == []
    assert case.recorded(node) == case.grants[node]


@each_kind
def test_an_inquiry_where_no_grant_is_recorded_is_ignored(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert case.inquire(case.nodes[0], (7, 1)) == []
    assert case.acquisition.ballot[case.nodes[0]].yielded is None


@each_kind
def test_an_inquiry_told_twice_is_answered_once(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    case.inquire(case.nodes[0])
    assert case.inquire(case.nodes[0]) == []


@each_kind
def test_a_yielded_grant_that_is_told_again_is_yielded_again_and_never_counted(kind: Kind) -> None:
    case = Case.waiting(kind)
    node = case.some[-1]
    case.grant(node)
    yielded = case.grants[node]
    case.inquire(node)
    case.grant_all(case.some[:-1])
    for resent in (True, False):
        actions = case.grant(node, grant_id=yielded, resent=resent)
        assert sent(actions, Yield) == {node: Yield(case.token, yielded)}
        assert case.recorded(node) is None
    assert not case.held


@each_kind
def test_a_holder_yields_a_yielded_grant_again_too(kind: Kind) -> None:
    case = Case.waiting(kind)
    node = case.rest[0]
    case.grant(node)
    yielded = case.grants[node]
    case.inquire(node)
    case.grant_all(case.some)
    assert case.held
    assert sent(case.grant(node, resent=True, grant_id=yielded), Yield) == {node: Yield(case.token, yielded)}


def test_only_the_newest_yielded_grant_of_a_node_is_remembered() -> None:
    case = Case.waiting()
    first = (7, 41)
    for grant_id in (first, (7, 42)):
        case.grant("node1", grant_id=grant_id)
        case.inquire("node1")
    assert case.acquisition.ballot["node1"].yielded == (7, 42)


def test_the_next_grant_after_a_yield_counts() -> None:
    case = Case.waiting()
    case.grant("node1")
    case.inquire("node1")
    case.grant("node1")
    assert case.grant("node2") == [Held(TICKET)]


def test_a_new_token_forgets_what_the_old_one_yielded() -> None:
    case = Case.waiting()
    case.grant("node1", grant_id=(7, 41))
    case.inquire("node1")
    case.down("node1", "node2")
    case.wait(0.3)
    assert case.phase == "APART"
    case.up("node1", "node2")
    case.start()
    assert sent(case.grant("node1", grant_id=(7, 41)), Yield) == {}
    assert case.recorded("node1") == (7, 41)
