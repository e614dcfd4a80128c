"""Grants: what is asked for, how long a grant is relied on, and which grants count."""

from __future__ import annotations

import pytest

from lockmanager.actions import Held, Send
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Acquire, Granted, Mode, Raised, Release, Renew, Renewed, Space, Token
from tests.support.acquisition_cases import (
    NOW,
    TICKET,
    TTL,
    Case,
    Kind,
    bound,
    each_kind,
    each_mode,
    news,
    sent,
)


@each_kind
def test_all_nodes_are_asked_at_once_with_one_token_and_one_ticket(kind: Kind) -> None:
    case = Case(kind)
    actions = case.start()
    acquire = Acquire(case.token, Space.QUORUM, "orders/42", TICKET, TTL, kind.mode, wait=True, label="ann")
    assert sent(actions, Acquire) == dict.fromkeys(kind.nodes, acquire)
    assert news(actions) == []


@each_kind
def test_a_node_out_of_reach_is_asked_when_its_session_is_live(kind: Kind) -> None:
    case = Case(kind, live=kind.nodes[:-1])
    case.assert_acquires(case.start(), *kind.nodes[:-1])
    case.assert_acquires(case.up(kind.nodes[-1]), kind.nodes[-1])


@each_mode
def test_a_try_tells_nodes_not_to_queue_it(mode: Mode) -> None:
    case = Case(Kind(mode, 3), wait=False, patient=False)
    assert {acquire.wait for acquire in sent(case.start(), Acquire).values()} == {False}


@each_kind
def test_a_majority_at_one_fence_holds_the_lock_in_one_round_trip(kind: Kind) -> None:
    case = Case.waiting(kind)
    before = case.grant_all(case.some[:-1], fence=TICKET + 4)
    assert before == []
    assert case.grant(case.some[-1], fence=TICKET + 4) == [Held(TICKET + 4)]
    assert (case.phase, case.acquisition.fence) == ("HELD", TICKET + 4)


@each_kind
def test_the_lock_is_reported_held_only_once(kind: Kind) -> None:
    case = Case.holding(kind)
    assert [case.grant(node) for node in case.rest] == [[] for _ in case.rest]
    assert case.wait(1) == []


@pytest.mark.parametrize("ttl", [MICROSECONDS // 10, MICROSECONDS, TTL, 30 * MICROSECONDS, 12_345_678])
def test_a_bound_is_the_echo_plus_the_ttl_less_a_hundredth_of_it_and_two_milliseconds(ttl: int) -> None:
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 1), ttl=ttl)
    case.now += ttl // 4
    case.grant("node1", echo=NOW + 5, ttl=ttl)
    assert case.acquisition.validity == NOW + 5 + ttl - ttl // 100 - 2_000


@each_kind
def test_validity_ends_with_the_earliest_of_the_best_majority_of_bounds(kind: Kind) -> None:
    case = Case.waiting(kind)
    echoes = {node: NOW - 1_000 * number for number, node in enumerate(case.nodes)}
    for node in reversed(case.nodes):
        case.grant(node, echo=echoes[node])
    assert case.held
    assert case.acquisition.validity == bound(echoes[case.nodes[kind.majority - 1]])


@each_kind
def test_there_is_no_validity_below_a_majority_of_bounds(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    assert case.acquisition.validity == 0


@each_kind
def test_a_grant_whose_bound_has_passed_does_not_count(kind: Kind) -> None:
    case = Case.waiting(kind)
    late = case.now - TTL
    assert [news(case.grant(node, echo=late)) for node in case.nodes] == [[] for _ in case.nodes]
    assert case.phase == "WAITING"


@each_kind
def test_a_grant_older_than_a_heartbeat_is_renewed_at_once(kind: Kind) -> None:
    case = Case.waiting(kind)
    old, node = case.now - TTL // 5, case.nodes[0]
    assert case.grant(node, echo=old) == [Send(node, Renew(case.token, TTL))]
    assert case.grant(node, echo=old, resent=True) == []
    assert case.renewed(node, echo=case.now) == []
    grant = case.acquisition.ballot[node].grant
    assert grant is not None
    assert grant.bound == bound(case.now)


def test_a_fresh_grant_is_renewed_on_schedule_only() -> None:
    case = Case.waiting()
    assert case.grant("node1", echo=case.now - TTL // 10) == []


def test_a_bound_that_ends_this_very_instant_does_not_count() -> None:
    case = Case.waiting()
    case.grant("node1")
    ends = case.now - TTL + TTL // 100 + 2_000
    case.grant("node2", echo=ends)
    assert len(case.acquisition.ballot.counted(case.now)) == 1
    case.grant("node3", echo=ends + 1)
    assert len(case.acquisition.ballot.counted(case.now)) == 2


def test_a_grant_that_no_longer_counts_does_not_lift_the_fence() -> None:
    case = Case.waiting()
    case.grant("node1", fence=TICKET + 9, echo=case.now - TTL)
    case.grant("node2", fence=TICKET + 2)
    assert case.grant("node3", fence=TICKET + 2) == [Held(TICKET + 2)]


@each_kind
def test_a_grant_sent_again_does_not_move_its_bound(kind: Kind) -> None:
    case = Case.holding(kind)
    before = case.acquisition.validity
    case.now += MICROSECONDS
    assert [case.grant(node, resent=True) for node in case.some] == [[] for _ in case.some]
    assert case.acquisition.validity == before


def test_a_grant_sent_again_tells_a_fence_whose_answer_was_lost() -> None:
    case = Case.waiting()
    case.grant("node1", fence=TICKET + 9)
    case.grant("node2")
    assert case.grant("node2", fence=TICKET + 9, resent=True) == [Held(TICKET + 9)]


def test_a_grant_sent_again_never_lowers_a_fence() -> None:
    case = Case.waiting()
    case.grant("node1", fence=TICKET + 9)
    case.grant("node1", fence=TICKET + 2, resent=True)
    assert case.grant("node2", fence=TICKET + 9) == [Held(TICKET + 9)]


@each_kind
def test_an_unknown_grant_sent_again_counts_once_a_renewal_proved_its_bound(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    node = case.some[-1]
    actions = case.grant(node, resent=True)
    assert sent(actions, Renew) == {node: Renew(case.token, TTL)}
    assert news(actions) == []
    assert case.renewed(node, echo=case.now) == [Held(TICKET)]
    assert case.acquisition.validity == bound(case.now)


def test_an_unknown_grant_sent_again_is_recorded_at_once_so_that_it_can_be_yielded() -> None:
    case = Case.waiting()
    case.grant("node1", resent=True, grant_id=(7, 99))
    assert case.recorded("node1") == (7, 99)
    case.inquire("node1")
    assert case.recorded("node1") is None


def test_a_renewal_lost_with_the_connection_is_asked_for_again_for_a_grant_without_bound() -> None:
    case = Case.waiting()
    case.grant("node1", resent=True)
    case.down("node1")
    case.up("node1")
    assert sent(case.grant("node1", resent=True), Renew) == {"node1": Renew(case.token, TTL)}


def test_a_grant_without_bound_told_twice_is_renewed_once() -> None:
    case = Case.waiting()
    case.grant("node1", resent=True)
    assert case.grant("node1", resent=True) == []


def test_a_new_grant_replaces_the_one_known_of_that_node() -> None:
    case = Case.waiting()
    case.grant("node1", fence=TICKET + 9)
    case.grant("node1", fence=TICKET + 1)
    assert case.grant("node2", fence=TICKET + 1) == [Held(TICKET + 1)]


@each_kind
def test_a_renewal_moves_the_bound_and_never_back(kind: Kind) -> None:
    case = Case.holding(kind)
    case.now += MICROSECONDS
    for node in case.some:
        case.renewed(node, echo=NOW + 500_000)
    assert case.acquisition.validity == bound(NOW + 500_000)
    for node in case.some:
        case.renewed(node, echo=NOW + 400_000)
    assert case.acquisition.validity == bound(NOW + 500_000)


@each_kind
def test_an_unanswered_renewal_is_neither_success_nor_loss(kind: Kind) -> None:
    case = Case.holding(kind)
    before = case.acquisition.validity
    assert set(sent(case.acquisition.renew(), Renew)) == set(case.some)
    assert (case.phase, case.acquisition.validity) == ("HELD", before)


@each_kind
def test_grants_of_one_that_still_waits_are_renewed_too(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[1])
    assert sent(case.acquisition.renew(), Renew) == {case.nodes[1]: Renew(case.token, TTL)}


def test_a_node_that_is_away_is_not_sent_a_renewal() -> None:
    case = Case.holding()
    case.down("node1")
    assert set(sent(case.acquisition.renew(), Renew)) == {"node2"}


def test_a_changed_ttl_is_what_renewals_ask_for_from_then_on() -> None:
    case = Case.holding()
    longer = 20 * MICROSECONDS
    assert sent(case.acquisition.renew(longer), Renew) == dict.fromkeys(case.some, Renew(case.token, longer))
    assert sent(case.acquisition.renew(), Renew) == dict.fromkeys(case.some, Renew(case.token, longer))
    assert case.acquisition.ttl == longer


@pytest.mark.parametrize("answer", ["raised", "renewed"])
def test_an_answer_about_a_grant_given_back_changes_nothing(answer: str) -> None:
    case = Case.waiting()
    case.grant("node1")
    case.inquire("node1")
    assert (case.raised("node1", TICKET + 9) if answer == "raised" else case.renewed("node1")) == []
    assert case.recorded("node1") is None


@pytest.mark.parametrize(
    "answer",
    [
        Granted(Token("another"), (7, 1), TICKET, TTL, resent=False),
        Renewed(Token("another"), TTL),
        Raised(Token("another"), TICKET),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_an_answer_about_an_earlier_token_is_ignored(answer: Granted | Renewed | Raised) -> None:
    case = Case.waiting()
    assert case.answer("node1", answer) == []
    assert case.acquisition.ballot["node1"].said.name == "NOTHING"


def test_a_lease_may_stand_on_one_node() -> None:
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 1))
    assert case.grant("node1") == [Held(TICKET)]
    assert sent(case.acquisition.release(), Release) == {"node1": Release(case.token)}


def test_a_session_that_is_only_connecting_is_not_sent_anything() -> None:
    case = Case(live=("node1", "node2"))
    case.link("node3", Link.CONNECTING)
    assert set(sent(case.start(), Acquire)) == {"node1", "node2"}


@each_kind
def test_a_majority_that_comes_at_the_very_deadline_holds_the_lock_and_fails_nothing(kind: Kind) -> None:
    case = Case.waiting(kind, deadline=2.0)
    case.grant_all(case.some[:-1])
    case.now += 2 * MICROSECONDS
    assert case.grant(case.some[-1]) == [Held(TICKET)]
    assert case.held
