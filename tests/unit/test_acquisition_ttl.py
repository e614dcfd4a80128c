"""A ttl above 30 s: asked for with 30 s, renewed to the full length on a majority before it is reported held."""

from __future__ import annotations

import pytest

from lockmanager.actions import Held, Lost
from lockmanager.durations import MICROSECONDS, drift
from lockmanager.wire import Acquire, Mode, Raise, Renew
from tests.support.acquisition_cases import EXCLUSIVE_OF_3, NOW, TICKET, Case, Kind, bound, each_kind, news, sent

FIRST = 30 * MICROSECONDS
FULL = 3_600 * MICROSECONDS
LONGER = 10 * FULL


def granted_at_first(kind: Kind) -> Case:
    """Return an acquisition of an hour to which a majority granted half a minute."""
    case = Case.waiting(kind, ttl=FULL)
    for node in case.some:
        case.grant(node, ttl=FIRST)
    return case


def held_in_full(kind: Kind) -> Case:
    case = granted_at_first(kind)
    for node in case.some:
        case.renewed(node, ttl=FULL)
    assert case.held
    return case


@each_kind
def test_no_more_than_half_a_minute_is_asked_for_at_first(kind: Kind) -> None:
    case = Case(kind, ttl=FULL)
    assert {acquire.ttl for acquire in sent(case.start(), Acquire).values()} == {FIRST}
    assert case.acquisition.ttl == FIRST


@each_kind
def test_a_majority_is_renewed_to_the_full_ttl_before_it_is_held(kind: Kind) -> None:
    case = Case.waiting(kind, ttl=FULL)
    for node in case.some[:-1]:
        assert case.grant(node, ttl=FIRST) == []
    actions = case.grant(case.some[-1], ttl=FIRST)
    assert sent(actions, Renew) == dict.fromkeys(case.some, Renew(case.token, FULL))
    assert news(actions) == []
    answers = [case.renewed(node, ttl=FULL) for node in case.some]
    assert answers == [[] for _ in case.some[1:]] + [[Held(TICKET)]]
    assert case.acquisition.validity == bound(NOW, FULL)


@each_kind
def test_a_renewal_to_less_than_the_full_ttl_does_not_hold_the_lock(kind: Kind) -> None:
    case = granted_at_first(kind)
    assert [case.renewed(node, ttl=FIRST) for node in case.some] == [[] for _ in case.some]
    assert not case.held


@each_kind
def test_the_full_ttl_is_asked_for_once_per_grant(kind: Kind) -> None:
    case = granted_at_first(kind)
    assert case.wait(1) == []


@each_kind
def test_the_fence_comes_before_the_full_ttl(kind: Kind) -> None:
    case = Case.waiting(kind, ttl=FULL)
    case.grant(case.nodes[0], ttl=FIRST, fence=TICKET + 3)
    actions = [case.grant(node, ttl=FIRST) for node in case.some[1:]][-1]
    assert set(sent(actions, Raise)) == set(case.some[1:])
    assert sent(actions, Renew) == {}
    actions = [case.raised(node, TICKET + 3) for node in case.some[1:]][-1]
    assert set(sent(actions, Renew)) == set(case.some)


@each_kind
def test_a_grant_for_less_than_a_holder_relies_on_does_not_count(kind: Kind) -> None:
    """A node that rejoins might learn of half a minute only, and grant the lock before another one's old grant ends."""
    case = held_in_full(kind)
    late = case.rest[0]
    assert case.grant(late, ttl=FIRST) == []
    assert case.recorded(late) is None
    assert sent(case.acquisition.renew(), Renew) == dict.fromkeys(case.some, Renew(case.token, FULL))


@each_kind
def test_the_node_is_asked_anew_when_that_grant_is_over(kind: Kind) -> None:
    case = held_in_full(kind)
    late = case.rest[0]
    case.grant(late, ttl=FIRST)
    over = NOW + FIRST + drift(FIRST)
    assert case.wait_until(over - 1) == []
    assert {node: one.ttl for node, one in sent(case.wait_until(over), Acquire).items()} == {late: FULL}
    case.grant(late, ttl=FULL)
    assert case.recorded(late) is not None


@each_kind
def test_a_grant_recorded_before_it_was_held_stays_when_it_is_told_again(kind: Kind) -> None:
    case = granted_at_first(kind)
    late = case.rest[0]
    case.grant(late, ttl=FIRST)
    known = case.recorded(late)
    assert known is not None
    for node in case.some:
        case.renewed(node, ttl=FULL)
    assert case.held
    case.grant(late, ttl=FIRST, resent=True, grant_id=known)
    assert case.recorded(late) == known


@each_kind
def test_every_renewal_of_a_held_lease_carries_the_full_ttl(kind: Kind) -> None:
    case = held_in_full(kind)
    assert sent(case.acquisition.renew(), Renew) == dict.fromkeys(case.some, Renew(case.token, FULL))
    case.down(case.nodes[0])
    assert sent(case.up(case.nodes[0]), Renew) == {case.nodes[0]: Renew(case.token, FULL)}


@each_kind
def test_a_filled_node_is_asked_for_the_full_ttl_at_once(kind: Kind) -> None:
    """Else a peer that rejoins might learn of half a minute only, and another node's forgotten grant lasts longer."""
    case = held_in_full(kind)
    for node in case.rest:
        case.grant(node, ttl=FULL)
    acquires = sent(case.lost(case.nodes[0]), Acquire)
    assert [acquire.ttl for acquire in acquires.values()] == [FULL]


@each_kind
def test_one_who_waits_renews_its_grants_with_half_a_minute(kind: Kind) -> None:
    case = Case.waiting(kind, ttl=FULL)
    case.grant(case.nodes[0], ttl=FIRST)
    assert sent(case.acquisition.renew(), Renew) == {case.nodes[0]: Renew(case.token, FIRST)}


@each_kind
def test_a_node_that_came_back_is_asked_for_the_full_ttl_again(kind: Kind) -> None:
    case = granted_at_first(kind)
    case.down(case.nodes[0])
    assert sent(case.up(case.nodes[0]), Renew) == {case.nodes[0]: Renew(case.token, FULL)}


@pytest.mark.parametrize("ttl", [MICROSECONDS // 10, FIRST - 1, FIRST])
def test_up_to_half_a_minute_takes_one_round_trip(ttl: int) -> None:
    case = Case.waiting(ttl=ttl)
    case.grant("node1", ttl=ttl)
    assert case.grant("node2", ttl=ttl) == [Held(TICKET)]


def test_a_majority_yields_while_it_is_renewed_to_the_full_ttl() -> None:
    case = granted_at_first(Kind(Case().kind.mode, 3))
    case.inquire("node1")
    assert case.renewed("node2", ttl=FULL) == []
    assert not case.held


def lifted_alone() -> Case:
    """Return one who waits, whose first node alone has lifted its grant to an hour when the second is given back."""
    case = granted_at_first(EXCLUSIVE_OF_3)
    case.renewed("node1", ttl=FULL)
    case.inquire("node2")
    return case


def test_a_lifted_grant_does_not_outlive_its_first_half_minute_without_a_majority() -> None:
    """A node that forgot it keeps silent for half a minute only, and nobody could tell it of this grant."""
    case = lifted_alone()
    case.wait(30)
    case.grant("node2", ttl=FIRST)
    case.renewed("node2", ttl=FULL)
    assert not case.held
    case.grant("node3", ttl=FIRST)
    assert case.renewed("node3", ttl=FULL) == [Held(TICKET)]


def test_a_lifted_grant_that_is_renewed_while_it_waits_goes_on_counting() -> None:
    case = lifted_alone()
    case.wait(20)
    case.renewed("node1", ttl=FIRST)
    case.wait(20)
    asked = case.grant("node2", ttl=FIRST)
    assert sent(asked, Renew) == dict.fromkeys(("node1", "node2"), Renew(case.token, FULL))
    assert case.renewed("node2", ttl=FULL) == case.wait(1) == []
    assert case.renewed("node1", ttl=FULL) == [Held(TICKET)]
    assert case.acquisition.validity == bound(NOW + 40 * MICROSECONDS, FULL)


def test_once_held_a_lifted_grant_that_was_not_heard_of_lately_counts_for_its_first_half_minute() -> None:
    case = Case.waiting(Kind(Mode.EXCLUSIVE, 5), ttl=FULL)
    for node in ("node1", "node2", "node3"):
        case.grant(node, ttl=FIRST)
    case.renewed("node1", ttl=FULL)
    case.inquire("node2")
    case.wait(31)
    for node in ("node2", "node3", "node4"):
        case.grant(node, ttl=FIRST)
    for node in ("node2", "node3", "node4"):
        case.renewed(node, ttl=FULL)
    assert case.held
    actions = case.lost("node4")
    assert [type(one) for one in news(actions)] == [Lost]


# Renewed to a longer ttl than before


def longer() -> Case:
    """Return a lease of an hour on two of three nodes that is to last ten hours from now on."""
    case = held_in_full(EXCLUSIVE_OF_3)
    assert sent(case.acquisition.renew(LONGER), Renew) == dict.fromkeys(case.some, Renew(case.token, LONGER))
    return case


def test_a_longer_ttl_counts_when_a_majority_has_confirmed_it() -> None:
    case = longer()
    case.renewed("node1", ttl=LONGER)
    assert case.acquisition.validity == bound(NOW, FULL)
    case.renewed("node2", ttl=LONGER)
    assert case.acquisition.validity == bound(NOW, LONGER)


def test_a_longer_ttl_confirmed_by_one_node_alone_does_not_count_once_that_is_half_a_minute_ago() -> None:
    """The node may have forgotten it, and adopted the hour that the other knew of when it was asked."""
    case = longer()
    case.renewed("node1", ttl=LONGER)
    case.wait(31)
    case.renewed("node2", ttl=LONGER)
    assert case.acquisition.validity == bound(NOW, FULL)
    case.renewed("node1", ttl=LONGER)
    assert case.acquisition.validity == bound(case.now, LONGER)


def shorter() -> Case:
    """Return a lease of an hour that is to last half a minute at a time from now on."""
    case = held_in_full(EXCLUSIVE_OF_3)
    case.wait(60)
    assert sent(case.acquisition.renew(FIRST), Renew) == dict.fromkeys(case.some, Renew(case.token, FULL))
    return case


def test_a_shorter_ttl_counts_when_a_majority_was_heard() -> None:
    """Until then bounds rest on the longer one, and whoever forgets it must be able to learn it."""
    case = shorter()
    case.renewed("node1", ttl=FULL)
    assert case.acquisition.validity == bound(NOW, FULL)
    assert sent(case.lost("node3"), Acquire)["node3"].ttl == FULL
    case.renewed("node2", ttl=FULL)
    assert case.acquisition.validity == bound(case.now, FIRST)
    assert sent(case.acquisition.renew(), Renew) == dict.fromkeys(case.some, Renew(case.token, FIRST))
    assert case.held


def test_a_longer_ttl_is_trusted_anew_after_a_shorter_one() -> None:
    case = shorter()
    for node in case.some:
        case.renewed(node, ttl=FULL)
    case.wait(20)
    case.acquisition.renew(FULL)
    case.renewed("node1", ttl=FULL)
    assert case.acquisition.validity == bound(NOW + 60 * MICROSECONDS, FIRST)
    case.renewed("node2", ttl=FULL)
    assert case.acquisition.validity == bound(case.now, FULL)


def test_one_who_confirmed_a_longer_ttl_too_long_ago_is_asked_again_once() -> None:
    case = longer()
    case.renewed("node1", ttl=LONGER)
    assert sent(case.wait(31), Renew) == {"node1": Renew(case.token, LONGER)}
    assert case.renewed("node2", ttl=LONGER) == case.wait(1) == []
    case.renewed("node1", ttl=LONGER)
    assert case.acquisition.validity == bound(case.now - MICROSECONDS, LONGER)
