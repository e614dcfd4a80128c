"""Nodes that lose what they knew while coordinators contend: real processes, all but one with a scaled silence."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from lockmanager.durations import MICROSECONDS, seconds
from tests.support.lease_scenes import (
    LONG,
    Handover,
    dead_holder_of_a_lease_one_node_knows,
    dead_holder_that_met_a_replaced_node,
    grant_forgotten_before_it_was_part_of_a_majority,
    holder_cut_off_after_a_lift_during_a_silence,
)
from tests.support.quick_cluster import SILENCE, quick_coordinators
from tests.support.rejoin_scenes import (
    Rejoined,
    lost_disk,
    lost_disks_one_after_another,
    real_silence,
    restarts_in_memory,
    silent_node_is_stopped,
)
from tests.support.side_by_side import Played, played

pytestmark = [pytest.mark.processes, pytest.mark.slow]

REAL_SILENCE = 30.0
"""Seconds, as DESIGN.md has it."""

STOPS_WITHIN = 1.0
"""Seconds, likewise."""

STOP_SLACK = 3.0
"""Seconds a loaded machine may add to a stop; a node that takes five is killed, and would never be later."""

SLACK = 15.0
"""Seconds a loaded machine may add to the end of a silence or of a lease."""

SCENES = (
    real_silence,
    lost_disk,
    lost_disks_one_after_another,
    restarts_in_memory,
    silent_node_is_stopped,
    dead_holder_of_a_lease_one_node_knows,
    dead_holder_that_met_a_replaced_node,
    holder_cut_off_after_a_lift_during_a_silence,
    grant_forgotten_before_it_was_part_of_a_majority,
)


@pytest.fixture(scope="module")
def after() -> Iterator[Played]:
    with quick_coordinators(), played(*SCENES) as outcomes:
        yield outcomes


# Nodes that lose what they knew


def judged(rejoined: Rejoined, silence: float) -> None:
    """Check that a node said why it was silent, and was so for as long as it must and no longer."""
    assert (rejoined.first.status, rejoined.first.code) == (503, "recovering")
    assert "no journal of an earlier life" in rejoined.first.detail
    assert 0 < rejoined.first.remaining <= silence
    ends = rejoined.first.answered / MICROSECONDS + rejoined.first.remaining
    assert ends >= rejoined.started / MICROSECONDS + silence
    assert rejoined.first.remaining <= seconds(rejoined.ready - rejoined.first.asked)
    assert seconds(rejoined.ready - rejoined.started) < silence + SLACK


def test_a_disk_that_is_lost_costs_nobody_the_lock(after: Played) -> None:
    judged(after(lost_disk), SILENCE)


def test_all_disks_may_be_lost_one_after_another(after: Played) -> None:
    for rejoined in after(lost_disks_one_after_another):
        judged(rejoined, SILENCE)


def test_nodes_without_disks_may_be_restarted_one_after_another(after: Played) -> None:
    for rejoined in after(restarts_in_memory):
        judged(rejoined, SILENCE)


def test_a_node_is_silent_for_half_a_minute_and_no_longer(after: Played) -> None:
    judged(after(real_silence).rejoined, REAL_SILENCE)


def test_a_silent_node_counts_down_and_says_when_to_ask_again(after: Played) -> None:
    told = after(real_silence)
    assert len(told.said) > 20
    for ready in told.said:
        assert (ready.status, ready.code) == (503, "recovering")
        assert ready.retry_after == str(max(1, math.ceil(ready.remaining)))
        if ready.remaining:
            assert f"it stays silent for {ready.remaining:.1f} s more" in ready.detail
    left = [ready.remaining for ready in told.said]
    assert left == sorted(left, reverse=True)
    assert left[0] > REAL_SILENCE - SLACK
    assert left[-1] < SLACK


def test_a_silent_node_counts_down_by_its_clock(after: Played) -> None:
    told = after(real_silence).said
    ends_after = max(ready.asked / MICROSECONDS + ready.remaining for ready in told if ready.remaining)
    ends_before = min(ready.answered / MICROSECONDS + ready.remaining for ready in told if ready.remaining)
    assert ends_after <= ends_before


def test_a_silent_node_names_what_its_peers_say(after: Played) -> None:
    detail = after(real_silence).said[len(after(real_silence).said) // 2].detail
    assert "node1: it says the cluster is not new" in detail
    assert "node2: it says the cluster is not new" in detail


def test_a_silent_node_stops_at_once_though_a_peer_does_not_answer_it(after: Played) -> None:
    assert after(silent_node_is_stopped) < STOPS_WITHIN + STOP_SLACK


# Leases that one node alone still knows of


def kept_for_its_full_ttl(handover: Handover) -> None:
    """Check that the next holder came when the ttl had passed since the adoption, and not much later."""
    waited = seconds(handover.after.acquired - handover.adopted)
    assert LONG - SLACK < waited < LONG + SLACK
    assert handover.after.acquired >= handover.before.ended
    assert handover.after.fence > handover.before.fence


def test_a_lease_that_only_a_replaced_node_remembers_is_kept_for_its_full_ttl(after: Played) -> None:
    kept_for_its_full_ttl(after(dead_holder_of_a_lease_one_node_knows))


def test_a_holder_claims_its_lease_on_a_replaced_node_and_dies_with_all_of_it_kept(after: Played) -> None:
    kept_for_its_full_ttl(after(dead_holder_that_met_a_replaced_node))


def test_a_lease_lifted_during_a_silence_is_kept_by_one_replaced_node_after_another(after: Played) -> None:
    kept_for_its_full_ttl(after(holder_cut_off_after_a_lift_during_a_silence).handover)


def test_a_long_lease_can_be_acquired_while_a_node_is_silent_and_is_told_to_it_at_full_length(after: Played) -> None:
    lifted = after(holder_cut_off_after_a_lift_during_a_silence)
    assert lifted.acquired < lifted.silent_until_at_least
    assert SILENCE < lifted.told_to_node1 <= LONG


def test_a_node_that_forgot_a_grant_is_silent_for_as_long_as_that_may_count(after: Played) -> None:
    late = after(grant_forgotten_before_it_was_part_of_a_majority)
    assert late.first.who == "first"
    assert late.second.acquired >= late.first.ended
    assert late.second.fence > late.first.fence
