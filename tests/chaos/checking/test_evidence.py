"""The evidence counts what it tried, and a checker that is wrong shows as a violation with its seed."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.checking import evidence, exhaustive, fences
from tests.chaos.checking.__main__ import main
from tests.chaos.checking.damage import DAMAGES, LOCK_DAMAGES
from tests.chaos.checking.script import ALICE, BOB
from tests.chaos.checking.verdict import Verdict
from tests.chaos.history import Event, History, Recorder

_PAIRS = 40
_SAYS_YES = Verdict(counts={"operations": 1, "searched": 1, "left out": 0, "undecided": 0}, violations=[])
_SAYS_NO = Verdict(counts=_SAYS_YES.counts, violations=["no"])


def _accept(history: History) -> Verdict:
    return _SAYS_YES


def _refuse(history: History) -> Verdict:
    return _SAYS_NO


@pytest.fixture(autouse=True)
def a_pair_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        monotonic = count().__next__

    monkeypatch.setattr(evidence, "time", Clock)


def test_it_counts_valid_and_broken_histories_by_their_damage(tmp_path: Path) -> None:
    record = evidence.run(seconds=_PAIRS + 1, seed=1, directory=tmp_path)
    assert (record.part, record.violations) == ("checker", [])
    damages = {name: count for name, count in record.counts.items() if name.startswith("damage/")}
    assert sum(damages.values()) == record.counts["histories/broken"] == _PAIRS
    assert record.counts["histories/valid"] == _PAIRS
    assert record.passed.keys() == damages.keys()
    assert record.seconds >= _PAIRS


def test_a_trial_is_made_by_its_seed_alone() -> None:
    one, same, other = evidence.attempt(7), evidence.attempt(7), evidence.attempt(9)
    assert one == same
    assert one.history != other.history


def test_every_damage_gets_its_turn() -> None:
    assert {evidence.attempt(seed).damage for seed in range(1, 300, 2)} == set(DAMAGES)


@pytest.mark.parametrize(("checker", "missed"), [(fences, set(DAMAGES)), (exhaustive, set(LOCK_DAMAGES))])
def test_a_checker_that_accepts_everything_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checker: object, missed: set[str]
) -> None:
    monkeypatch.setattr(checker, "check", _accept)
    record = evidence.run(seconds=_PAIRS + 1, seed=2, directory=tmp_path)
    told = {match[1] for sentence in record.violations if (match := re.match(r"a history with (\w+),", sentence))}
    assert told == {name.removeprefix("damage/") for name in record.counts if name.startswith("damage/")} & missed
    assert len(told) > 5
    assert all("accepts it" in sentence for sentence in record.violations)
    assert not told & {name.removeprefix("damage/") for name in record.passed}


@pytest.mark.parametrize("checker", [fences, exhaustive])
def test_a_checker_that_refuses_everything_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checker: object
) -> None:
    monkeypatch.setattr(checker, "check", _refuse)
    record = evidence.run(seconds=_PAIRS + 1, seed=3, directory=tmp_path)
    valid = [sentence for sentence in record.violations if sentence.startswith("a valid history")]
    assert len(valid) == record.counts["histories/valid"] == _PAIRS
    assert all("refuses it: no" in sentence for sentence in valid)


def test_a_violation_names_the_command_that_does_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evidence.main(12) == 0
    monkeypatch.setattr(fences, "check", _refuse)
    assert evidence.main(12) == 1
    assert capsys.readouterr().out.endswith("refuses it: no; python -m tests.chaos.checking.evidence 12\n")


def test_a_slice_that_was_left_out_is_not_held_against_the_exhaustive_checker() -> None:
    counts = _SAYS_YES.counts | {"left out": 1}
    searched = Verdict(counts=counts, violations=[])
    trial = evidence.Trial(1, "fence_back", History(events=[]), _SAYS_NO, searched)
    assert list(trial.wrongs()) == []
    assert len(list(trial._replace(searched=_SAYS_YES).wrongs())) == 1


@pytest.mark.parametrize(
    ("second", "one_pass", "exhaustive"),
    [
        (BOB.acquires(110, 120, fence=2, until=200), False, False),
        (BOB.acquires(110, 120, fence=1, until=200), True, True),
        (BOB.writes(110, 120, fence=1, value=1), True, False),
    ],
    ids=["fine", "a fence twice", "a write without a lease"],
)
def test_a_history_on_disk_can_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: list[Event], one_pass: bool, exhaustive: bool
) -> None:
    with Recorder(tmp_path, "1") as recorder:
        for event in ALICE.acquires(10, 20, fence=1, until=100) + second:
            recorder.append(event)
    assert main(tmp_path) == (1 if one_pass or exhaustive else 0)
    told = capsys.readouterr().out
    assert ("of client bob" in told, "no order explains" in told) == (one_pass, exhaustive)
