"""How grants and leases are lost: a node that forgot, an operator who revokes, and time."""

from __future__ import annotations

from lockmanager.actions import REJECTED_PAUSE, Apart, Failed, Failure, Held, Lost
from lockmanager.durations import MICROSECONDS, microseconds
from lockmanager.wire import Acquire, Mode, Release, Renew
from tests.support.acquisition_cases import (
    NOW,
    TICKET,
    TTL,
    Case,
    Kind,
    bound,
    each_kind,
    failure,
    news,
    sent,
)

NOTICE = microseconds(0.1)
"""How long before validity ends a holder of a lease of 10 s is told."""


@each_kind
def test_a_grant_lost_while_waiting_is_forgotten_and_asked_for_again(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    actions = case.lost(case.nodes[0])
    case.assert_acquires(actions, case.nodes[0])
    assert len(actions) == 1
    assert case.recorded(case.nodes[0]) is None


@each_kind
def test_a_yield_that_came_too_late_is_followed_by_a_new_acquire(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    case.inquire(case.nodes[0])
    case.assert_acquires(case.lost(case.nodes[0]), case.nodes[0])


@each_kind
def test_a_holder_fills_a_node_that_lost_its_lease(kind: Kind) -> None:
    case = Case.holding(kind)
    case.grant_all(case.rest)
    actions = case.lost(case.nodes[0])
    case.assert_acquires(actions, case.nodes[0])
    assert news(actions) == []
    assert case.held


@each_kind
def test_a_new_bound_of_a_filled_node_counts_whatever_its_fence(kind: Kind) -> None:
    case = Case.holding(kind)
    case.now += MICROSECONDS
    filled = case.rest[: kind.majority - 1]
    for node in filled:
        case.grant(node, fence=TICKET + 50)
    case.renewed(case.nodes[0])
    assert case.acquisition.validity == bound(case.now)
    assert case.acquisition.fence == TICKET


@each_kind
def test_a_lease_is_lost_once_too_few_nodes_know_it(kind: Kind) -> None:
    case = Case.holding(kind)
    actions = case.lost(case.nodes[0])
    assert news(actions) == [Lost("too few nodes renewed it in time")]
    assert sent(actions, Acquire) == {}
    case.assert_released_everywhere(actions)
    assert case.phase == "OVER"


@each_kind
def test_a_holder_is_told_before_validity_ends(kind: Kind) -> None:
    case = Case.holding(kind)
    case.grant_all(case.rest)
    told_at = bound(NOW) - NOTICE
    assert case.wakeup() == told_at
    assert case.wait_until(told_at - 1) == []
    actions = case.wait_until(told_at)
    assert actions == [Lost("too few nodes renewed it in time")]


@each_kind
def test_a_lost_lease_is_released_when_validity_has_ended(kind: Kind) -> None:
    case = Case.holding(kind)
    case.grant_all(case.rest)
    assert news(case.wait_until(bound(NOW) - NOTICE)) == [Lost("too few nodes renewed it in time")]
    assert case.wakeup() == bound(NOW)
    assert case.wait_until(bound(NOW) - 1) == []
    case.assert_released_everywhere(case.wait_until(bound(NOW)))
    assert case.wakeup() is None


@each_kind
def test_a_lost_lease_is_released_before_when_its_holder_lets_go(kind: Kind) -> None:
    case = Case.holding(kind)
    case.wait_until(bound(NOW) - NOTICE)
    case.assert_released_everywhere(case.acquisition.release())
    assert case.acquisition.release() == []
    assert case.wait_until(bound(NOW)) == []


def test_a_short_lease_is_told_lost_a_tenth_of_its_ttl_before_the_end() -> None:
    ttl = microseconds(0.2)
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 1), ttl=ttl)
    case.grant("node1", ttl=ttl)
    assert case.acquisition.loss_at == bound(NOW, ttl) - ttl // 10


@each_kind
def test_a_longer_ttl_that_was_asked_for_does_not_bring_the_loss_nearer(kind: Kind) -> None:
    """Its notice counts when a majority has confirmed it: until then a short lease has all its time."""
    ttl, longer = microseconds(0.5), microseconds(1)
    case = Case.waiting(kind, ttl=ttl)
    case.grant_all(case.some, ttl=ttl)
    told_at = bound(NOW, ttl) - ttl // 10
    case.acquisition.renew(longer)
    assert case.acquisition.loss_at == told_at
    assert case.wait_until(told_at - 1) == []
    for node in case.some:
        case.renewed(node, ttl=longer)
    assert case.held
    assert case.acquisition.loss_at == bound(told_at - 1, longer) - NOTICE


def test_a_holder_is_told_as_early_as_the_ttl_asks_that_a_majority_confirmed() -> None:
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 3), ttl=microseconds(0.5))
    case.grant_all(case.nodes, ttl=microseconds(0.5))
    case.acquisition.renew(microseconds(1))
    case.renewed("node1", ttl=microseconds(1))
    assert case.acquisition.loss_at == bound(NOW, microseconds(0.5)) - microseconds(0.05)
    case.renewed("node2", ttl=microseconds(1))
    assert case.acquisition.loss_at == bound(NOW, microseconds(1)) - NOTICE


def test_a_ttl_that_was_shorter_for_a_while_does_not_bring_the_loss_nearer_when_it_grows_again() -> None:
    long, short = microseconds(1), microseconds(0.1)
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 1), ttl=long)
    case.grant("node1", ttl=long)
    case.acquisition.renew(short)
    case.now = bound(NOW, long) - microseconds(0.05)
    case.renewed("node1", ttl=short)
    case.acquisition.renew(long)
    assert case.acquisition.loss_at == bound(case.now, short) - short // 10
    assert case.wait_until(case.now + microseconds(0.05)) == []


@each_kind
def test_an_answer_after_validity_ended_revives_nothing(kind: Kind) -> None:
    case = Case.holding(kind)
    case.now = bound(NOW) - NOTICE
    actions = case.renewed(case.nodes[0], echo=case.now)
    assert news(actions) == [Lost("too few nodes renewed it in time")]
    assert case.acquisition.validity == bound(NOW)
    assert [case.renewed(node) for node in case.nodes] == [[] for _ in case.nodes]


@each_kind
def test_a_session_that_comes_up_after_validity_ended_revives_nothing(kind: Kind) -> None:
    case = Case.holding(kind)
    case.now = bound(NOW)
    actions = case.up(case.nodes[0])
    assert news(actions) == [Lost("too few nodes renewed it in time")]
    assert set(sent(actions, Release)) == set(case.nodes)
    assert len(actions) == len(case.nodes) + 1


@each_kind
def test_a_majority_that_ended_before_it_stood_at_one_fence_starts_again(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    case.grant(case.some[-1], fence=TICKET + 3)
    assert case.wakeup() == bound(NOW)
    actions = case.wait_until(bound(NOW))
    assert news(actions) == [Apart(split=False)]
    case.assert_released_everywhere(actions)
    assert case.acquisition.wants_start()


@each_kind
def test_the_end_of_an_earlier_majority_does_not_end_the_next_start(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    case.grant(case.some[-1], fence=TICKET + 3)
    case.wait_until(bound(NOW))
    assert news(case.start()) == []
    assert case.wait(60) == []
    assert case.grant_all(case.some) == [Held(TICKET)]


@each_kind
def test_a_majority_lost_again_before_it_was_one_is_no_reason_to_start_again(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant_all(case.some[:-1])
    case.grant(case.some[-1], fence=TICKET + 3)
    case.inquire(case.some[-1])
    assert case.wait_until(bound(NOW)) == []
    assert case.phase == "WAITING"


def test_a_majority_that_ended_at_the_deadline_fails_by_it() -> None:
    case = Case.waiting(deadline=2.0, ttl=MICROSECONDS)
    case.grant("node1", ttl=MICROSECONDS)
    case.grant("node2", ttl=MICROSECONDS, fence=TICKET + 1)
    actions = case.wait(2.0)
    assert failure(actions) is Failure.TIMEOUT
    case.assert_released_everywhere(actions)


@each_kind
def test_a_lease_is_lost_when_a_majority_says_an_operator_revoked_it(kind: Kind) -> None:
    case = Case.holding(kind)
    before = [case.revoked(node) for node in case.some[:-1]]
    assert before == [[] for _ in before]
    actions = case.revoked(case.some[-1])
    assert actions == [Lost("an operator revoked it")], "exclusion is kept until the holder lets go"
    case.assert_released_everywhere(case.acquisition.release())


@each_kind
def test_one_node_that_says_revoked_twice_is_no_majority(kind: Kind) -> None:
    case = Case.holding(kind)
    assert case.revoked(case.nodes[0]) == case.revoked(case.nodes[0]) == []
    assert case.held


@each_kind
def test_one_who_waits_starts_again_with_its_place_when_a_node_revoked_its_grant(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    actions = case.revoked(case.nodes[0])
    assert news(actions) == [Apart(split=False)]
    case.assert_released_everywhere(actions)
    assert case.recorded(case.nodes[0]) is None
    case.assert_acquires(case.start(), *case.nodes)


@each_kind
def test_a_node_that_rejected_one_who_waits_is_asked_again_each_second(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert case.reject(case.nodes[0]) == []
    for _ in range(3):
        again = case.now + REJECTED_PAUSE
        assert case.wakeup() == again
        assert case.wait_until(again - 1) == []
        case.assert_acquires(case.wait_until(again), case.nodes[0])


@each_kind
def test_a_grant_of_a_node_that_rejects_one_who_waits_is_not_renewed(kind: Kind) -> None:
    """The node lost its disk and is full: what it adopted would be renewed, and make two holders of one grant."""
    case = Case.waiting(kind)
    node = case.nodes[0]
    case.grant(node)
    case.down(node)
    case.up(node)
    case.reject(node)
    assert case.recorded(node) is None
    assert sent(case.acquisition.renew(), Renew) == {}
    assert case.renewed(node) == []
    assert case.recorded(node) is None


@each_kind
def test_a_node_that_rejected_a_holders_fill_is_asked_again(kind: Kind) -> None:
    case = Case.holding(kind)
    case.grant_all(case.rest)
    case.lost(case.nodes[0])
    assert case.reject(case.nodes[0]) == []
    case.assert_acquires(case.wait_until(case.now + REJECTED_PAUSE), case.nodes[0])


@each_kind
def test_a_queued_answer_takes_a_grant_the_node_no_longer_knows_off_the_count_of_one_who_waits(kind: Kind) -> None:
    case = Case.waiting(kind)
    case.grant(case.nodes[0])
    assert case.queue(case.nodes[0], "bob") == []
    assert case.recorded(case.nodes[0]) is None


@each_kind
def test_a_holder_that_stands_in_line_keeps_what_the_node_once_granted_until_its_bound(kind: Kind) -> None:
    """A node that forgot the grant has adopted the lease, and keeps others out for as long."""
    case = Case.holding(kind)
    before = case.recorded(case.nodes[0])
    assert case.queue(case.nodes[0], "bob") == []
    assert (case.held, case.recorded(case.nodes[0])) == (True, before)
    assert case.grant(case.nodes[0]) == []
    assert case.held


def test_a_lost_answer_leaves_nodes_untouched_that_never_granted() -> None:
    case = Case.waiting()
    case.queue("node1", "bob")
    case.assert_acquires(case.lost("node1"), "node1")


@each_kind
def test_nothing_comes_after_the_end(kind: Kind) -> None:
    case = Case.holding(kind)
    case.acquisition.release()
    assert case.lost(case.nodes[0]) == []
    assert case.up(case.nodes[0]) == []
    assert case.wait(100) == []
    assert case.wakeup() is None


@each_kind
def test_a_rejection_does_not_end_a_lease(kind: Kind) -> None:
    case = Case.holding(kind)
    assert [case.reject(node) for node in case.nodes] == [[] for _ in case.nodes]
    assert case.held


@each_kind
def test_a_majority_of_rejections_fails_at_once(kind: Kind) -> None:
    case = Case.waiting(kind)
    assert [case.reject(node) for node in case.some[:-1]] == [[] for _ in case.some[:-1]]
    actions = case.reject(case.some[-1])
    assert news(actions) == [Failed(Failure.REJECTED)]
    case.assert_released_everywhere(actions)


@each_kind
def test_a_minority_of_rejections_does_not_hinder(kind: Kind) -> None:
    case = Case.waiting(kind)
    for node in case.rest:
        case.reject(node)
    assert case.grant_all(case.some) == [Held(TICKET)]


def test_a_released_lease_is_released_once_and_on_silent_nodes_too() -> None:
    case = Case.holding()
    case.down("node3")
    case.assert_released_everywhere(case.acquisition.release())
    assert case.acquisition.release() == []


def test_one_who_waits_is_released_on_nodes_that_never_answered() -> None:
    case = Case.waiting()
    actions = case.acquisition.release()
    case.assert_released_everywhere(actions)
    assert news(actions) == []
    assert sent(actions, Release)["node3"] == Release(case.token)


def test_one_that_never_asked_has_nothing_to_release() -> None:
    case = Case(live=("node1",))
    assert case.acquisition.release() == []
    assert case.phase == "OVER"


def test_a_lease_of_ten_seconds_renewed_by_all_outlives_its_first_ttl() -> None:
    case = Case.holding()
    for _ in range(10):
        assert case.wait(TTL / 3 / MICROSECONDS) == []
        case.acquisition.renew()
        for node in case.some:
            case.renewed(node)
    assert case.held


def test_a_majority_whose_validity_has_nearly_ended_is_not_reported_held() -> None:
    case = Case.waiting()
    late = case.now - TTL + TTL // 100 + 52_000
    assert news(case.grant("node1", echo=late)) == []
    assert news(case.grant("node2", echo=late)) == []
    assert not case.held


def test_a_renewal_that_arrives_after_a_waiters_validity_ended_revives_nothing() -> None:
    case = Case.waiting()
    case.grant("node1")
    case.now += MICROSECONDS
    case.grant("node2", fence=TICKET + 1)
    case.now = bound(NOW)
    assert news(case.renewed("node1")) == [Apart(split=False)]


def test_a_holder_that_only_tried_stands_in_line_to_fill_a_node_that_came_back() -> None:
    case = Case.trial()
    case.down("node3")
    case.grant_all(("node1", "node2"))
    assert sent(case.up("node3"), Acquire)["node3"].wait


def test_each_nodes_confirmed_renewals_are_counted() -> None:
    case = Case.holding(Kind(Mode.EXCLUSIVE, 3))
    case.grant_all(case.rest)
    case.renewed("node1")
    case.renewed("node1")
    case.renewed("node2")
    assert case.acquisition.ballot.renewals_answered() == {"node1": 2, "node2": 1, "node3": 0}
