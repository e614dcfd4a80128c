"""Sessions that come and go: catching up, stepping apart in a minority, and nodes that will never talk to us."""

from __future__ import annotations

from lockmanager.actions import Apart, Failed, Failure, Held, Lost
from lockmanager.ballot import Link
from lockmanager.wire import Acquire, Release, Renew
from tests.support.acquisition_cases import (
    NODE_TIMEOUT,
    NOW,
    TICKET,
    TTL,
    Case,
    Kind,
    each_kind,
    failure,
    news,
    sent,
)


@each_kind
def test_one_who_waits_asks_a_node_again_that_came_back(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.queue(case.nodes[0], "bob")
    token = case.token
    assert case.down(case.nodes[0]) == []
    actions = case.up(case.nodes[0])
    case.assert_acquires(actions, case.nodes[0])
    assert case.token == token


@each_kind
def test_one_who_waits_acquires_rather_than_renews_where_it_has_a_grant(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    case.down(case.nodes[0])
    actions = case.up(case.nodes[0])
    case.assert_acquires(actions, case.nodes[0])
    assert sent(actions, Renew) == {}


@each_kind
def test_a_holder_renews_on_a_node_that_came_back(kind: Kind) -> None:
    case = Case.holding(kind)
    case.down(case.nodes[0])
    actions = case.up(case.nodes[0])
    assert actions == [action for action in actions if sent([action], Renew)]
    assert sent(actions, Renew) == {case.nodes[0]: Renew(case.token, TTL)}


@each_kind
def test_a_holder_acquires_on_a_node_that_came_back_without_a_grant(kind: Kind) -> None:
    case = Case.holding(kind)
    case.down(case.rest[0])
    actions = case.up(case.rest[0])
    case.assert_acquires(actions, case.rest[0])
    assert len(actions) == 1


@each_kind
def test_a_holder_does_not_care_how_many_nodes_are_in_reach(kind: Kind) -> None:
    case = Case.holding(kind)
    assert case.down(*case.nodes) == []
    assert case.wait(5) == []
    assert case.held


@each_kind
def test_one_who_waits_steps_apart_after_the_node_timeout_in_a_minority(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[-1])
    case.now += 1_000
    assert case.down(*case.some) == []
    assert case.wakeup() == case.now + NODE_TIMEOUT
    assert case.wait_until(case.now + NODE_TIMEOUT - 1) == []
    actions = case.wait_until(case.now + 1)
    assert news(actions) == [Apart(split=False)]
    case.assert_released_everywhere(actions)
    assert case.phase == "APART"


@each_kind
def test_the_node_timeout_counts_from_the_session_that_made_it_a_minority(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.down(*case.rest)
    case.wait(0.2)
    case.down(case.some[0])
    case.wait(0.2)
    assert case.phase == "WAITING"
    case.wait(0.1)
    assert case.phase == "APART"


@each_kind
def test_a_majority_back_in_time_keeps_the_place_in_line(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.down(*case.some)
    case.wait(0.299)
    case.up(case.some[0])
    assert case.wait(1) == []
    assert case.wakeup() is None
    case.down(case.some[0])
    assert case.wakeup() == case.now + NODE_TIMEOUT


@each_kind
def test_one_that_stepped_apart_starts_with_a_new_token_and_the_same_ticket_once_a_majority_is_live(
    kind: Kind,
) -> None:
    case = Case.waiting(kind)
    first = case.token
    case.grant(case.rest[0])
    case.down(*case.some)
    case.wait(0.3)
    assert not case.acquisition.wants_start()
    assert case.up(*case.some[:-1]) == []
    assert case.acquisition.wants_start()
    actions = case.start()
    case.assert_acquires(actions, *case.some[:-1], *case.rest)
    assert case.token != first
    assert case.recorded(case.rest[0]) is None


def test_one_that_stepped_apart_ignores_answers_about_its_old_token() -> None:
    case = Case.waiting()
    case.down("node1", "node2")
    case.wait(0.3)
    assert case.grant("node3") == []
    assert case.recorded("node3") is None


@each_kind
def test_one_that_never_saw_a_majority_waits_to_start(kind: Kind) -> None:
    case = Case(kind, live=kind.nodes[: kind.majority - 1])
    assert not case.acquisition.wants_start()
    assert case.wait(10) == []
    assert case.up(case.some[-1]) == []
    assert case.acquisition.wants_start()


def test_a_try_starts_however_few_nodes_are_in_reach() -> None:
    assert Case(live=(), wait=False, patient=False).acquisition.wants_start()


def test_one_that_has_started_wants_no_start() -> None:
    assert not Case.waiting().acquisition.wants_start()
    assert not Case.trial().acquisition.wants_start()


@each_kind
def test_the_deadline_ends_one_that_never_saw_a_majority_as_unreachable(kind: Kind) -> None:
    case = Case(kind, live=(), deadline=2.0)
    assert case.wakeup() == NOW + 2_000_000
    assert case.wait(1.999) == []
    assert case.wait(0.001) == [Failed(Failure.UNREACHABLE)]
    assert case.wakeup() is None


@each_kind
def test_the_deadline_ends_one_that_stepped_apart_without_a_second_release(kind: Kind) -> None:
    case = Case.waiting(kind, deadline=2.0)
    case.grant_all(case.some[:-1])
    case.down(*case.nodes)
    case.wait(0.3)
    assert case.wait(2) == [Failed(Failure.UNREACHABLE)]


@each_kind
def test_a_majority_that_refuses_to_talk_to_us_fails_at_once(kind: Kind) -> None:
    case = Case.waiting(kind)
    for node in case.some[:-1]:
        assert case.link(node, Link.REFUSED, "another cluster") == []
    actions = case.link(case.some[-1], Link.REFUSED, "another cluster")
    assert news(actions) == [Failed(Failure.REFUSED_LINK)]
    case.assert_released_everywhere(actions)


@each_kind
def test_a_majority_that_refuses_before_the_start_fails_at_once(kind: Kind) -> None:
    case = Case(kind, live=())
    answers = [case.link(node, Link.REFUSED, "no access") for node in case.some]
    assert answers[-1] == [Failed(Failure.REFUSED_LINK)]


def test_a_try_that_a_majority_refuses_to_talk_to_says_so_rather_than_unreachable() -> None:
    case = Case.trial()
    case.link("node1", Link.REFUSED, "no access")
    assert failure(case.link("node2", Link.REFUSED, "no access")) is Failure.REFUSED_LINK


def test_a_node_that_refuses_to_talk_to_us_may_change_its_mind() -> None:
    case = Case.waiting()
    case.link("node1", Link.REFUSED, "another cluster")
    assert set(sent(case.up("node1"), Acquire)) == {"node1"}
    case.link("node2", Link.REFUSED, "another cluster")
    assert case.phase == "WAITING"


def test_the_cause_of_a_link_is_kept_for_people() -> None:
    case = Case.waiting()
    case.link("node1", Link.DOWN, "connection refused")
    assert case.acquisition.ballot.describe()["node1"] == "connection refused"


def test_a_session_that_goes_after_validity_ended_tells_the_loss() -> None:
    case = Case.holding()
    case.now += TTL
    actions = case.down("node1")
    assert news(actions) == [Lost("too few nodes renewed it in time")]
    assert set(sent(actions, Release)) == set(case.nodes)


def test_a_grant_of_a_node_that_went_away_counts_until_its_bound() -> None:
    case = Case.waiting()
    case.grant("node1")
    case.down("node1")
    assert case.grant("node2") == [Held(TICKET)]


def test_one_that_was_never_started_has_no_token_and_no_fence() -> None:
    case = Case()
    assert (case.phase, case.token, case.acquisition.fence) == ("APART", "", 0)


@each_kind
def test_one_that_starts_in_a_minority_steps_apart_after_the_node_timeout(kind: Kind) -> None:
    case = Case(kind, live=kind.nodes[: kind.majority - 1])
    case.start()
    assert case.wait(0.299) == []
    assert news(case.wait(0.001)) == [Apart(split=False)]
