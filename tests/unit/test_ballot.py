"""The votes of a lock's nodes: which count, what a majority says, and how they are told to people."""

from __future__ import annotations

import pytest

from lockmanager.actions import FIRST_TTL
from lockmanager.ballot import Ballot, Grant, Link, Said, Vote
from lockmanager.durations import bound
from lockmanager.wire import Holder, Mode
from tests.support.acquisition_cases import holder


def ballot(size: int = 3) -> Ballot:
    """Return a ballot over live nodes that have said nothing."""
    votes = Ballot(f"node{number}" for number in range(1, size + 1))
    for vote in votes:
        vote.link = Link.LIVE
    return votes


def with_bounds(*bounds: int | None, size: int = 5) -> Ballot:
    votes = ballot(size)
    for vote, one in zip(votes, bounds, strict=False):
        vote.grant = Grant((1, 1), 5, one)
    return votes


@pytest.mark.parametrize(("size", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_a_majority_is_more_than_half(size: int, majority: int) -> None:
    assert (Ballot(f"node{n}" for n in range(size)).majority, len(ballot(size))) == (majority, size)


def test_a_vote_is_found_by_its_node() -> None:
    votes = ballot()
    assert votes["node2"].node == "node2"
    assert [vote.node for vote in votes] == ["node1", "node2", "node3"]


def test_only_grants_whose_bound_lies_ahead_count() -> None:
    votes = with_bounds(99, 100, 101, None)
    assert [grant.bound for grant in votes.counted(100)] == [101]


SECOND = 1_000_000


def test_fresh_are_grants_confirmed_for_the_ttl_by_nodes_that_cannot_have_forgotten_them() -> None:
    votes = ballot()
    ttls = (60 * SECOND, 60 * SECOND, 59 * SECOND)
    for vote, echo, ttl in zip(votes, (0, 1, 2), ttls, strict=True):
        vote.grant = Grant((1, 1), 5, 1_000, echo=echo, confirmed=ttl)
    assert votes.fresh(60 * SECOND, now=bound(0, FIRST_TTL)) == [votes["node2"].grant]


def test_no_more_of_a_confirmed_ttl_counts_than_is_trusted_until_it_is() -> None:
    grant = Grant((1, 1), 5, None)
    grant.confirm(7, 60 * SECOND, trusted=30 * SECOND)
    assert grant.bound == bound(7, 30 * SECOND)
    grant.trust(60 * SECOND)
    assert grant.bound == bound(7, 60 * SECOND)


def test_a_confirmation_never_moves_a_bound_back_and_the_longest_ttl_is_remembered() -> None:
    grant = Grant((1, 1), 5, None)
    grant.confirm(9 * SECOND, 60 * SECOND, trusted=60 * SECOND)
    grant.confirm(8 * SECOND, 10 * SECOND, trusted=60 * SECOND)
    assert (grant.bound, grant.echo, grant.confirmed) == (bound(9 * SECOND, 60 * SECOND), 9 * SECOND, 60 * SECOND)
    grant.confirm(10 * SECOND, 60 * SECOND, trusted=30 * SECOND)
    assert (grant.bound, grant.echo) == (bound(9 * SECOND, 60 * SECOND), 10 * SECOND)


@pytest.mark.parametrize(
    ("bounds", "validity"),
    [
        ((10, 20, 30, 40, 50), 30),
        ((50, 10, 40), 10),
        ((50, 10, None, 40), 10),
        ((50, 10), 0),
        ((50, 10, None, None, None), 0),
        ((), 0),
    ],
)
def test_validity_is_the_bound_of_the_last_of_the_best_majority(bounds: tuple[int | None, ...], validity: int) -> None:
    assert with_bounds(*bounds).validity() == validity


def test_live_sessions_and_refused_links_are_counted() -> None:
    votes = ballot(5)
    for node, link in zip(("node1", "node2", "node3"), (Link.DOWN, Link.REFUSED, Link.CONNECTING), strict=True):
        votes[node].link = link
    assert (votes.live(), votes.refused_links()) == (2, 1)


def test_nodes_that_are_down_are_unreachable_and_silent_ones_only_when_asked_for() -> None:
    votes = ballot(5)
    votes["node1"].link = Link.DOWN
    votes["node2"].link = Link.REFUSED
    votes["node3"].link = Link.CONNECTING
    votes["node4"].said = Said.QUEUED
    assert votes.unreachable(silent_too=False) == 2
    assert votes.unreachable(silent_too=True) == 4


@pytest.mark.parametrize("link", [Link.DOWN, Link.REFUSED])
def test_no_node_is_counted_both_as_unreachable_and_for_what_it_said(link: Link) -> None:
    votes = ballot()
    votes["node1"].link, votes["node1"].said = link, Said.REFUSED
    votes["node2"].said = Said.REFUSED
    assert votes.unreachable(silent_too=True) + votes.count_live(Said.REFUSED) == len(votes)
    assert votes.count(Said.REFUSED) == 2


def test_only_nodes_in_reach_count_as_having_answered() -> None:
    votes = ballot()
    for vote in votes:
        vote.said = Said.GRANTED
    votes["node1"].link = Link.DOWN
    votes["node2"].said = Said.NOTHING
    assert votes.answered() == 1
    votes["node2"].said = Said.RECOVERING
    assert votes.answered() == 1


def test_what_was_said_can_be_counted_together() -> None:
    votes = ballot()
    votes["node1"].said, votes["node2"].said = Said.REFUSED, Said.REVOKED
    assert votes.count(Said.REFUSED, Said.REVOKED) == 2


@pytest.mark.parametrize(("size", "missing", "gone"), [(3, 1, False), (3, 2, True), (5, 2, False), (5, 3, True)])
def test_a_majority_is_out_of_reach_when_too_few_are_left(size: int, missing: int, gone: bool) -> None:
    assert ballot(size).out_of_reach(missing) is gone


def test_a_split_has_no_holder_with_a_majority() -> None:
    votes = ballot()
    assert votes.is_split()
    for node, name in (("node1", "bob"), ("node2", "cid")):
        votes[node].said, votes[node].holders = Said.REFUSED, [holder(name)]
    assert votes.is_split()
    votes["node3"].said, votes["node3"].holders = Said.REFUSED, [holder("bob")]
    assert not votes.is_split()


def test_holders_named_by_a_node_that_queued_us_do_not_make_a_majority() -> None:
    votes = ballot()
    for vote in votes:
        vote.said, vote.holders = Said.QUEUED, [holder("bob")]
    assert votes.is_split()


def test_two_holders_with_one_label_are_two() -> None:
    votes = ballot()
    for number, vote in enumerate(votes):
        vote.said, vote.holders = Said.REFUSED, [Holder("worker", f"hash {number}", Mode.EXCLUSIVE)]
    assert votes.is_split()


def test_holders_are_named_once_the_most_often_named_first() -> None:
    votes = ballot()
    votes["node1"].holders = [holder("ann"), holder("bob")]
    votes["node2"].holders = [holder("bob")]
    assert [one.label for one in votes.holders()] == ["label of bob", "label of ann"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (Said.NOTHING, "no answer"),
        (Said.GRANTED, "granted"),
        (Said.QUEUED, "queued"),
        (Said.REFUSED, "refused"),
        (Said.REVOKED, "revoked"),
        (Said.RECOVERING, "recovering"),
        (Said.REJECTED, "rejected (waiters): 10 wait"),
    ],
)
def test_a_vote_of_a_node_in_reach_is_described_by_what_it_said(said: Said, text: str) -> None:
    votes = ballot()
    votes["node1"].said, votes["node1"].code, votes["node1"].detail = said, "waiters", "10 wait"
    assert votes.describe()["node1"] == text


@pytest.mark.parametrize("link", [Link.CONNECTING, Link.DOWN, Link.REFUSED])
def test_a_vote_of_a_node_out_of_reach_is_described_by_the_cause(link: Link) -> None:
    vote = Vote("node1", link, "connection refused", Said.GRANTED)
    assert vote.describe() == "connection refused"


def test_a_node_that_was_never_reached_says_so() -> None:
    assert Vote("node1").describe() == "not connected yet"


def test_a_new_token_forgets_everything_but_the_link() -> None:
    vote = Vote("node1", Link.LIVE, "", Said.REJECTED, Grant((1, 1), 5, 9), (1, 1), [holder("bob")], "code", "detail")
    vote.forget_token()
    assert vote == Vote("node1", Link.LIVE, "")


def test_a_connection_that_broke_forgets_what_was_asked_for_but_not_the_grant() -> None:
    vote = Vote("node1", grant=Grant((1, 1), 5, 9, raised_to=7, asked_ttl=8, confirmed=4))
    vote.forget_questions()
    assert vote.grant == Grant((1, 1), 5, 9, raised_to=0, asked_ttl=0, confirmed=4)
    Vote("node2").forget_questions()
