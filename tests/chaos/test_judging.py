"""The judge counts what clients did, takes over what the checkers say, and calls a control that shows nothing blind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.chaos.checking.script import ALICE, BOB, LOCK
from tests.chaos.history import Event, Recorder
from tests.chaos.judging import Judgement, note_final_values
from tests.chaos.resource import KINDS, Totals

_ALICE = [*ALICE.acquires(10, 20, fence=5, until=100), *ALICE.releases(90, 95, fence=5, until=100)]
_BOB = [*BOB.acquires(91, 120, fence=6, until=200), *BOB.releases(150, 160, fence=6, until=200)]
_IN_TURN = [
    *ALICE.reads(30, 31, fence=5, value=0),
    *ALICE.writes(32, 33, fence=5, value=1),
    *BOB.reads(130, 131, fence=6, value=1),
    *BOB.writes(132, 133, fence=6, value=2),
]
_REFUSED = [
    *ALICE.reads(30, 31, fence=5, value=0),
    *BOB.reads(130, 131, fence=6, value=0),
    *BOB.writes(132, 133, fence=6, value=1),
    *ALICE.writes(140, 141, fence=5, value=1, phase="fail"),
]
_LOST = [
    *ALICE.reads(30, 31, fence=5, value=0),
    *BOB.reads(130, 131, fence=6, value=0),
    *BOB.writes(132, 133, fence=6, value=1),
    *ALICE.writes(140, 141, fence=5, value=1),
]
_FINE = Totals(accepted=2, refused=0, lost=0, values={LOCK: 2})
_GUARDED = Totals(accepted=1, refused=1, lost=0, values={LOCK: 1})
_UNSEEN = Totals(accepted=2, refused=0, lost=1, values={LOCK: 2})
_OVERWRITTEN = Totals(accepted=2, refused=0, lost=1, values={LOCK: 1})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
    return tmp_path


def _judge(
    directory: Path,
    *,
    locking: Iterable[Event] = (*_ALICE, *_BOB),
    checked: Iterable[Event] = _IN_TURN,
    unchecked: Iterable[Event] = _IN_TURN,
    totals: tuple[Totals, Totals] = (_FINE, _FINE),
    stale_writes: int = 0,
) -> Judgement:
    for kind, events in zip(KINDS, ([*locking, *checked], unchecked), strict=True):
        with Recorder(directory / kind, "client1") as recorder:
            for event in events:
                recorder.append(event)
    by_kind = dict(zip(KINDS, totals, strict=True))
    note_final_values(directory, by_kind)
    judgement = Judgement(directory, by_kind, stale_writes)
    judgement.judge()
    return judgement


def test_a_history_with_nothing_wrong_is_counted_and_passes(directory: Path) -> None:
    judgement = _judge(directory)
    assert judgement.violations == []
    counts = judgement.counts
    assert (counts["cycles"], counts[f"cycles/{LOCK}"], counts["ambiguous"], counts["leases lost"]) == (2, 2, 0, 0)
    assert (counts["checks/fences: leases"], counts["checks/linearizability: searched"]) == (2, 4)


def test_what_never_ended_is_ambiguous_and_a_failed_acquisition_is_no_cycle(directory: Path) -> None:
    failed = BOB.acquires(210, 220, fence=0, until=0, phase="fail")
    counts = _judge(directory, locking=[*_ALICE, *_BOB, *failed, *ALICE.asks(230)]).counts
    assert (counts["cycles"], counts["ambiguous"]) == (2, 1)


def test_two_holders_at_once_are_a_violation_of_both_checkers(directory: Path) -> None:
    early = [*BOB.acquires(25, 40, fence=6, until=200), *BOB.releases(150, 160, fence=6, until=200)]
    found = _judge(directory, locking=[*_ALICE, *early]).violations
    assert any(sentence.startswith("fences: ") and "were held at the same time" in sentence for sentence in found)
    assert any(sentence.startswith("linearizability: ") for sentence in found)


def test_an_update_lost_in_spite_of_the_check_is_a_violation(directory: Path) -> None:
    found = _judge(directory, checked=_LOST, unchecked=_LOST, totals=(_OVERWRITTEN, _OVERWRITTEN)).violations
    assert any("an update was lost" in sentence for sentence in found)
    assert any("the resource that checks fences lost 1 updates" in sentence for sentence in found)


def test_a_stale_write_that_only_the_check_refuses_shows_that_the_harness_sees(directory: Path) -> None:
    judgement = _judge(directory, checked=_REFUSED, unchecked=_LOST, totals=(_GUARDED, _OVERWRITTEN), stale_writes=1)
    assert judgement.violations == []
    counts = judgement.counts
    assert (counts["lost_updates/checked"], counts["lost_updates/unchecked"]) == (0, 1)
    assert counts["refused_stale_writes"] == 1
    assert counts["violations seen without the fence check"] > 0


@pytest.mark.parametrize(
    ("unchecked", "total"), [(_IN_TURN, _FINE), (_LOST, _FINE), (_IN_TURN, _UNSEEN)], ids=["neither", "log", "sum"]
)
def test_stale_writes_that_lose_nothing_without_the_check_mean_that_the_harness_is_blind(
    directory: Path, unchecked: list[Event], total: Totals
) -> None:
    judgement = _judge(directory, unchecked=unchecked, totals=(_FINE, total), stale_writes=1)
    assert any(sentence.startswith("the harness cannot see: 1 stale writes") for sentence in judgement.violations)


def test_a_counter_that_comes_to_less_than_was_written_is_a_violation(directory: Path) -> None:
    found = _judge(directory, totals=(Totals(2, 0, 0, {LOCK: 1}), _FINE)).violations
    assert any("does not see" in sentence for sentence in found)
