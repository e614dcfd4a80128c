"""When a node that may have forgotten grants may grant again: whose word it needs, and for how long it is silent."""

from __future__ import annotations

from itertools import combinations

import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager.topology import Cluster, NodeAddress
from lockmanager.wire import Mode, State
from lockmanager_node.records import Adoption
from lockmanager_node.recovery import SILENCE, Past, Rejoin, Report, Verdict, answers_needed

NOW = 500 * MICROSECONDS
WALL = 1_700_000_000 * MICROSECONDS
END = NOW + SILENCE
PEERS = ("node2", "node3")


def told(name: str, *, digest: str = "", ttl: int = 10, fence: int = 5, revoked: bool = False) -> Adoption:
    return Adoption(digest or f"digest of {name}", name, name, 1, Mode.EXCLUSIVE, fence, ttl, revoked)


def report(
    node: str,
    *leases: Adoption,
    never: bool = False,
    recovering: bool = False,
    fence: int = WALL + 5,
    life: int = 1,
    upto: int = 0,
) -> Report:
    return Report(node, life, "", recovering, never, 0 if never else fence, list(leases), upto)


@pytest.fixture
def rejoin() -> Rejoin:
    return Rejoin(PEERS, needed=2, began=NOW)


def test_half_a_minute_is_what_coordinators_ask_for_at_first() -> None:
    from lockmanager.actions import FIRST_TTL

    assert SILENCE == FIRST_TTL


# A new cluster


def test_a_cluster_of_one_is_new_at_once() -> None:
    assert Rejoin((), needed=0, began=NOW).verdict(NOW, WALL) == Verdict([], 0, new_cluster=True)


def test_a_cluster_is_new_when_every_peer_says_that_it_never_granted(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", never=True), NOW, NOW)
    assert rejoin.verdict(NOW, WALL) is None
    rejoin.on_report(report("node3", never=True), NOW, NOW)
    assert rejoin.verdict(NOW, WALL) == Verdict([], 0, new_cluster=True)


def test_a_peer_that_rejoins_too_must_have_our_word_first(rejoin: Rejoin) -> None:
    """Else it would hear of our first grants before it asked, and be silent for half a minute."""
    rejoin.on_report(report("node2", never=True, recovering=True), NOW, NOW)
    rejoin.on_report(report("node3", never=True), NOW, NOW)
    assert rejoin.verdict(NOW, WALL) is None
    rejoin.on_asked("node2")
    assert rejoin.verdict(NOW, WALL) == Verdict([], 0, new_cluster=True)


def test_a_word_once_given_stays_true(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", never=True), NOW, NOW)
    rejoin.on_report(report("node2"), NOW + 1, NOW + 1)
    rejoin.on_report(report("node3", never=True), NOW + 2, NOW + 2)
    assert rejoin.verdict(NOW + 2, WALL) == Verdict([], 0, new_cluster=True)


def test_one_peer_that_granted_or_knows_an_earlier_life_makes_it_an_old_cluster(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", never=True), NOW, NOW)
    rejoin.on_report(report("node3"), NOW, NOW)
    assert rejoin.verdict(END - 1, WALL) is None


def test_the_word_of_the_operator_is_enough_and_fences_still_rise() -> None:
    rejoin = Rejoin(PEERS, needed=2, began=NOW, said_to_be_new=True)
    assert rejoin.verdict(NOW, WALL) == Verdict([], WALL, new_cluster=True)


def test_strangers_who_ask_are_nobody(rejoin: Rejoin) -> None:
    rejoin.on_asked("node9")
    assert rejoin.verdict(NOW, WALL) is None


# An old cluster


def read_twice(rejoin: Rejoin, *reports: Report, at: int = END) -> Verdict:
    """Let the peers be read twice, and return the verdict."""
    for instant in (at, at + 1):
        for one in reports:
            rejoin.on_report(one, instant, instant)
    verdict = rejoin.verdict(at + 1, WALL)
    assert verdict is not None
    return verdict


def test_leases_are_adopted_when_the_silence_is_over(rejoin: Rejoin) -> None:
    verdict = read_twice(rejoin, *(report(node, told(f"lock at {node}")) for node in PEERS))
    assert [lease.name for lease in verdict.adoptions] == ["lock at node2", "lock at node3"]
    assert not verdict.new_cluster


def test_what_was_asked_for_before_the_silence_ended_does_not_count(rejoin: Rejoin) -> None:
    """A grant under way may have come to stand on a majority since then."""
    rejoin.on_report(report("node2"), END - 1, END)
    rejoin.on_report(report("node3"), END, END)
    assert rejoin.to_ask() == ["node2"]
    rejoin.on_report(report("node2"), END + 1, END + 1)
    assert rejoin.to_ask() == ["node2", "node3"]


def test_one_reading_of_each_peer_is_not_enough(rejoin: Rejoin) -> None:
    """A holder may have left the one that was read last for the one that was read first."""
    rejoin.on_report(report("node3"), END, END)
    rejoin.on_report(report("node2"), END + 5, END + 5)
    assert rejoin.verdict(END + 5, WALL) is None
    rejoin.on_report(report("node3", told("a")), END + 6, END + 6)
    assert rejoin.to_ask() == ["node2"]
    rejoin.on_report(report("node2"), END + 7, END + 7)
    verdict = rejoin.verdict(END + 7, WALL)
    assert verdict is not None
    assert verdict.adoptions == [told("a")]


def test_the_second_reading_begins_when_the_first_is_complete(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node3"), END, END)
    rejoin.on_report(report("node2"), END + 1, END + 5)
    rejoin.on_report(report("node3"), END + 4, END + 6)
    assert rejoin.to_ask() == ["node2", "node3"]


def test_what_only_the_first_reading_showed_is_adopted_too(rejoin: Rejoin) -> None:
    for node in PEERS:
        rejoin.on_report(report(node, told(f"at {node}")), END, END)
    for node in PEERS:
        rejoin.on_report(report(node), END + 1, END + 1)
    verdict = rejoin.verdict(END + 1, WALL)
    assert verdict is not None
    assert [lease.name for lease in verdict.adoptions] == ["at node2", "at node3"]


def test_readings_too_far_apart_are_made_anew(rejoin: Rejoin) -> None:
    late = END + SILENCE // 2 + 1
    rejoin.on_report(report("node2"), END, END)
    rejoin.on_report(report("node3"), late, late)
    assert rejoin.to_ask() == ["node2"]
    read_twice(rejoin, report("node2"), report("node3"), at=late + 1)


def test_a_second_reading_that_comes_too_late_is_made_anew(rejoin: Rejoin) -> None:
    late = END + SILENCE // 2 + 1
    for node in PEERS:
        rejoin.on_report(report(node), END, END)
    rejoin.on_report(report("node2"), END + 1, END + 1)
    rejoin.on_report(report("node3"), END + 1, late)
    assert rejoin.verdict(late, WALL) is None
    assert rejoin.to_ask() == ["node2"]


def test_the_time_that_many_pages_take_counts_from_the_last(rejoin: Rejoin) -> None:
    for node in PEERS:
        rejoin.on_report(report(node), END, END + SILENCE, read_at=END + SILENCE)
    for node in PEERS:
        rejoin.on_report(report(node), END + SILENCE, END + SILENCE + 1)
    assert rejoin.verdict(END + SILENCE + 1, WALL) is not None


def test_the_second_reading_asks_only_for_what_was_granted_since_the_first(rejoin: Rejoin) -> None:
    assert rejoin.known_upto("node2") == 0
    for node in PEERS:
        rejoin.on_report(report(node, told(f"at {node}"), upto=9), END, END)
    assert rejoin.known_upto("node2") == 9
    rejoin.on_report(report("node2", told("new"), upto=10), END + 1, END + 1, since=9)
    rejoin.on_report(report("node3", upto=9), END + 1, END + 1, since=9)
    verdict = rejoin.verdict(END + 1, WALL)
    assert verdict is not None
    assert [lease.name for lease in verdict.adoptions] == ["at node2", "new", "at node3"]


def test_a_peer_that_was_restarted_is_read_from_the_first_lease_on(rejoin: Rejoin) -> None:
    """The numbers of its next life may begin below those that were told."""
    for node in PEERS:
        rejoin.on_report(report(node, told(f"at {node}"), upto=9), END, END)
    rejoin.on_report(report("node2", upto=9, life=2), END + 1, END + 1, since=9)
    assert (rejoin.known_upto("node2"), rejoin.known_upto("node3")) == (0, 9)
    assert rejoin.to_ask() == ["node2", "node3"]
    rejoin.on_report(report("node2", told("again"), upto=4, life=2), END + 2, END + 2)
    assert rejoin.known_upto("node2") == 4
    assert rejoin.verdict(END + 2, WALL) is None


def test_what_does_not_follow_what_is_known_is_not_taken(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", told("a"), upto=9), END, END)
    rejoin.on_report(report("node2", told("a"), upto=12), END + 1, END + 1)
    assert rejoin.known_upto("node2") == 9


def test_peers_that_take_long_to_be_read_are_not_read_from_the_first_lease_on_again(rejoin: Rejoin) -> None:
    """With very many leases two peers are never read within the same quarter of a minute."""
    late = END + SILENCE
    rejoin.on_report(report("node2", told("a"), upto=900_000), END, END + 1)
    rejoin.on_report(report("node3", told("b"), upto=900_000), END, late, read_at=late)
    assert rejoin.known_upto("node2") == 900_000
    for instant in (late + 1, late + 2):
        for node in rejoin.to_ask():
            rejoin.on_report(report(node, upto=900_000), instant, instant, since=900_000)
    for node in rejoin.to_ask():
        rejoin.on_report(report(node, upto=900_000), late + 3, late + 3, since=900_000)
    verdict = rejoin.verdict(late + 3, WALL)
    assert verdict is not None
    assert [lease.name for lease in verdict.adoptions] == ["a", "b"]


def test_leases_read_very_long_ago_are_let_go_of(rejoin: Rejoin) -> None:
    """While the other peer is away they may have ended, and would keep others out for nothing."""
    long = END + 10 * SILENCE + 1
    rejoin.on_report(report("node2", told("a"), upto=9), END, END)
    rejoin.on_report(report("node2", upto=9), long, long, since=9)
    assert rejoin.known_upto("node2") == 0
    verdict = read_twice(rejoin, report("node2"), report("node3"), at=long + 1)
    assert verdict.adoptions == []


def test_peers_that_rejoin_themselves_do_not_count(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2"), END, END)
    rejoin.on_report(report("node3", recovering=True), END, END)
    assert rejoin.verdict(END, WALL) is None
    assert rejoin.to_ask() == ["node3"]


def test_an_early_word_of_never_does_not_stand_for_leases(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", never=True), NOW, NOW)
    rejoin.on_report(report("node3"), END, END)
    assert rejoin.to_ask() == ["node2"]


def test_a_lease_told_by_several_stands_once_with_the_most_of_each(rejoin: Rejoin) -> None:
    little, much = told("a", digest="d", ttl=10, fence=9), told("a", digest="d", ttl=120, fence=7, revoked=True)
    verdict = read_twice(rejoin, report("node2", little), report("node3", much))
    assert verdict.adoptions == [told("a", digest="d", ttl=120, fence=9, revoked=True)]


@pytest.mark.parametrize(("fences", "floor"), [((WALL + 5, WALL + 9), WALL + 9), ((3, 4), WALL)])
def test_fences_exceed_those_of_all_who_told_and_our_own_clock(
    rejoin: Rejoin, fences: tuple[int, int], floor: int
) -> None:
    reports = [report(node, fence=fence) for node, fence in zip(PEERS, fences, strict=True)]
    assert read_twice(rejoin, *reports).fence_floor == floor


def test_where_nobody_else_knew_anything_the_end_of_the_silence_is_enough() -> None:
    rejoin = Rejoin(PEERS, needed=0, began=NOW)
    assert rejoin.verdict(END - 1, WALL) is None
    assert rejoin.verdict(END, WALL) == Verdict([], WALL, new_cluster=False)


def cluster(nodes: int, replicas: int) -> Cluster:
    addresses = tuple(NodeAddress(f"node{n}", f"http://127.0.0.1:{8000 + n}") for n in range(nodes))
    return Cluster(name="test", nodes=addresses, replicas=replicas)


@pytest.mark.parametrize(("nodes", "replicas"), [(n, r) for n in range(1, 8) for r in range(1, n + 1)])
def test_so_many_answers_meet_every_majority_that_the_forgotten_self_was_part_of(nodes: int, replicas: int) -> None:
    described = cluster(nodes, replicas)
    needed, majority, peers = answers_needed(described), described.majority, range(1, nodes)
    assert 0 <= needed < max(nodes, 2)
    if majority == 1:
        assert needed == 0  # nobody else ever knew: as in a cluster of one
        return
    for answered in combinations(peers, needed):
        silent = set(peers) - set(answered)
        assert len(silent) < majority - 1 or not list(combinations(silent, majority - 1))
    fewer = set(peers) - set(list(peers)[: needed - 1])
    assert len(fewer) >= majority - 1, "one answer less would have been enough"


# What it says


def test_the_reason_counts_down_and_names_what_each_peer_said(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2"), NOW, NOW)
    rejoin.on_no_report("node3", "connection refused")
    readiness = rejoin.readiness(NOW + 10 * MICROSECONDS)
    assert (readiness.state, readiness.remaining) == (State.RECOVERING, 20 * MICROSECONDS)
    assert "20.0 s" in readiness.reason
    assert "node2: it says the cluster is not new; node3: connection refused" in readiness.reason


def test_after_the_silence_it_says_whom_it_waits_for_and_the_way_out(rejoin: Rejoin) -> None:
    rejoin.on_report(report("node2", recovering=True), END, END)
    rejoin.on_report(report("node3"), END, END)
    readiness = rejoin.readiness(END + 1)
    assert readiness.remaining == 0
    for part in ("2 peers", "from 1", "node2: it recovers too", "--new-cluster"):
        assert part in readiness.reason


# The past of peers


def test_only_a_later_incarnation_has_a_past() -> None:
    past = Past()
    assert past.is_unknown("node2")
    past.note("node2", 7)
    assert not past.knows_earlier("node2", 7)
    assert past.knows_earlier("node2", 8)
    past.note("node2", 8)
    assert past.knows_earlier("node2", 8)
    assert not past.knows_earlier("node2", 7)
    assert not past.knows_earlier("node3", 8)
    assert Past({"node2": 7}).knows_earlier("node2", 8)
