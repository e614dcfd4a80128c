"""A try (`wait=0`): when it gives up, when it tries again, and what it then says."""

from __future__ import annotations

from lockmanager.actions import Apart, Failed, Failure, Held
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Mode
from tests.support.acquisition_cases import (
    NODE_TIMEOUT,
    NOW,
    TICKET,
    Case,
    Kind,
    each_kind,
    failure,
    news,
)


@each_kind
def test_a_holder_with_a_majority_ends_a_try_at_once(kind: Kind) -> None:
    case = Case.trial(kind)
    before = [case.refuse(node, "bob") for node in case.some[:-1]]
    assert before == [[] for _ in before]
    actions = case.refuse(case.some[-1], "bob")
    assert news(actions) == [Failed(Failure.HELD)]
    case.assert_released_everywhere(actions)
    assert [one.label for one in case.acquisition.ballot.holders()] == ["label of bob"]


@each_kind
def test_a_split_is_tried_again_after_a_pause_with_a_new_token(kind: Kind) -> None:
    case = Case.trial(kind)
    first = case.token
    actions = [case.refuse(node, f"bob at {node}") for node in case.some][-1]
    assert news(actions) == [Apart(split=True)]
    case.assert_released_everywhere(actions, first)
    case.assert_acquires(case.start(), *case.nodes)
    assert case.token != first


@each_kind
def test_a_refusal_that_names_no_holder_is_a_split(kind: Kind) -> None:
    case = Case.trial(kind)
    assert news([case.refuse(node) for node in case.some][-1]) == [Apart(split=True)]


def test_several_readers_of_whom_none_has_a_majority_are_a_split() -> None:
    case = Case.trial()
    case.refuse("node1", "ann", "bob")
    assert news(case.refuse("node2", "cid", "dan")) == [Apart(split=True)]


def test_one_reader_of_several_with_a_majority_is_no_split() -> None:
    case = Case.trial()
    case.refuse("node1", "ann", "bob")
    assert failure(case.refuse("node2", "bob", "cid")) is Failure.HELD


@each_kind
def test_a_split_is_not_tried_again_once_the_node_timeout_has_passed(kind: Kind) -> None:
    case = Case.trial(kind)
    for _ in range(4):
        assert news([case.refuse(node, f"bob at {node}") for node in case.some][-1]) == [Apart(split=True)]
        case.now += NODE_TIMEOUT // 4
        case.start()
    assert news([case.refuse(node, f"bob at {node}") for node in case.some][-1]) == [Failed(Failure.HELD)]


@each_kind
def test_nodes_that_are_down_count_against_a_try_at_once(kind: Kind) -> None:
    case = Case.trial(kind)
    case.down(*case.some[:-1])
    assert case.phase == "WAITING"
    assert failure(case.down(case.some[-1])) is Failure.UNREACHABLE


@each_kind
def test_silent_nodes_count_against_a_try_after_the_node_timeout(kind: Kind) -> None:
    case = Case.trial(kind)
    case.grant_all(case.some[:-1])
    assert case.wakeup() == NOW + NODE_TIMEOUT
    assert case.wait_until(NOW + NODE_TIMEOUT - 1) == []
    assert failure(case.wait_until(NOW + NODE_TIMEOUT)) is Failure.UNREACHABLE


def test_a_session_still_connecting_is_silent_until_the_node_timeout() -> None:
    case = Case(wait=False, patient=False, live=("node1",))
    for node in ("node2", "node3"):
        case.acquisition.ballot[node].link = Link.CONNECTING
    assert news(case.start()) == []
    case.grant("node1")
    case.now += NODE_TIMEOUT - 1
    case.assert_acquires(case.up("node2"), "node2")
    assert case.grant("node2") == [Held(TICKET)]


def test_a_session_that_does_not_come_up_ends_a_try() -> None:
    case = Case(wait=False, patient=False, live=("node1",))
    for node in ("node2", "node3"):
        case.acquisition.ballot[node].link = Link.CONNECTING
    case.start()
    case.grant("node1")
    assert failure(case.wait_until(NOW + NODE_TIMEOUT)) is Failure.UNREACHABLE


def test_a_node_that_refused_and_then_went_away_is_counted_once() -> None:
    case = Case.trial()
    case.refuse("node1", "bob")
    assert news(case.down("node1")) == []
    case.grant("node2")
    assert news(case.grant("node3")) == [Held(TICKET)]


def test_rejections_count_against_a_try_beside_refusals() -> None:
    case = Case.trial()
    case.reject("node1")
    assert news(case.refuse("node2", "bob")) == [Apart(split=True)]


def test_rejections_count_against_a_try_beside_nodes_that_are_down() -> None:
    case = Case.trial()
    case.reject("node1")
    assert failure(case.down("node2")) is Failure.UNREACHABLE


def test_a_try_that_gave_its_grants_back_to_an_earlier_waiter_does_not_wait_for_them() -> None:
    case = Case.trial()
    case.grant("node1")
    assert news(case.inquire("node1")) == []
    assert news(case.refuse("node2", "bob")) == [Apart(split=True)]


def test_a_try_that_gave_a_majority_back_tries_again_and_learns_who_holds_the_lock() -> None:
    case = Case.trial(Kind(Mode.EXCLUSIVE, 5))
    case.grant_all(("node1", "node2"))
    case.grant("node3", fence=TICKET + 5)
    assert case.phase == "WAITING"
    actions = [case.inquire(node) for node in ("node1", "node2", "node3")]
    assert [news(some) for some in actions] == [[], [], [Apart(split=True)]]


@each_kind
def test_a_try_with_a_majority_but_not_its_fence_gives_up_after_three_node_timeouts(kind: Kind) -> None:
    case = Case.trial(kind)
    case.grant(case.nodes[0], fence=TICKET + 5)
    for node in case.nodes[1:]:
        case.grant(node)
    assert case.wait_until(NOW + NODE_TIMEOUT) == []
    assert case.wakeup() == NOW + 3 * NODE_TIMEOUT
    assert failure(case.wait_until(NOW + 3 * NODE_TIMEOUT)) is Failure.UNREACHABLE


def test_a_revoked_vote_counts_against_a_try() -> None:
    case = Case.trial()
    case.grant("node1")
    case.revoked("node1")
    assert news(case.refuse("node2", "bob")) == [Apart(split=True)]


def test_an_impatient_wait_on_one_host_stays_in_line_while_the_host_answers() -> None:
    case = Case(Kind(Mode.EXCLUSIVE, 1), wait=True, patient=False, deadline=60)
    case.start()
    case.queue("node1", "bob")
    assert case.wait(59) == []
    assert case.wakeup() == NOW + 60 * MICROSECONDS
    assert case.grant("node1") == [Held(TICKET)]


def test_an_impatient_wait_ends_when_the_host_goes() -> None:
    case = Case(Kind(Mode.EXCLUSIVE, 1), wait=True, patient=False, deadline=60)
    case.start()
    case.queue("node1", "bob")
    assert failure(case.down("node1")) is Failure.UNREACHABLE


def test_an_impatient_wait_ends_at_its_deadline_as_timed_out() -> None:
    case = Case(Kind(Mode.EXCLUSIVE, 1), wait=True, patient=False, deadline=60)
    case.start()
    case.queue("node1", "bob")
    assert failure(case.wait(60)) is Failure.TIMEOUT


@each_kind
def test_holders_are_told_by_nodes_that_queue_as_by_nodes_that_refuse(kind: Kind) -> None:
    case = Case.waiting(kind, deadline=1.0)
    for node in case.some:
        case.queue(node, "bob")
    assert [one.label for one in case.acquisition.ballot.holders()] == ["label of bob"]
    case.grant_all(case.some[:-1])
    case.queue(case.some[-1])
    assert case.acquisition.ballot.holders() == ()
