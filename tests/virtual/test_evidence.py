"""The evidence counts what it did, and a violation in it says how to see it again."""

from __future__ import annotations

import gc
import logging
import shlex
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from lockmanager.engine import Engine
from lockmanager.run import Run
from tests.evidence.figures import column, figures_of
from tests.evidence.record import Record
from tests.evidence.store import SEEDS_PER_SLICE
from tests.virtual import __main__ as command
from tests.virtual import evidence
from tests.virtual.findings import CHECKS
from tests.virtual.matrix import Tally
from tests.virtual.striking import Case, play
from tests.virtual.verbs import VERBS
from tests.virtual.weather import FAULTS

ONE_RUN = 100
"""Far fewer objects than one run makes; pytest keeps some of its own."""


@pytest.fixture(autouse=True)
def _a_second_for_each_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr(evidence, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


def test_a_slice_counts_what_it_did(tmp_path: Path) -> None:
    record = evidence.run(seconds=10, seed=3, directory=tmp_path)
    assert record.part == "cancellation"
    assert record.violations == []
    assert record.seconds > 0
    assert record.counts["runs"] > record.counts["contests"] > 0
    cancelled = sum(record.counts[f"cancellations/{verb}"] for verb in VERBS)
    assert 0 < cancelled < record.counts["runs"] - record.counts["contests"], "one run of each verb is in peace"
    assert {f"faults/{fault}" for fault in FAULTS} <= {*record.counts}


def test_one_slice_looks_at_everything_there_is_to_look_at(tmp_path: Path) -> None:
    looked_at = column(evidence.run(seconds=10, seed=0, directory=tmp_path), "checks")
    assert [what for what in CHECKS if not looked_at.get(what)] == []


def test_what_was_never_looked_at_is_reported_with_zero() -> None:
    one = Record(part=evidence.PART, seconds=0, counts=evidence._counts(Tally(), evidence.Contests()))
    assert column(Record.sum(evidence.PART, [one, one]), "checks") == dict.fromkeys(CHECKS, 0)


def test_the_evidence_is_not_complete_before_every_verb_was_cancelled() -> None:
    wanted = {figure.what: figure.full for figure in figures_of(evidence.PART)}
    assert wanted["kinds of calls cancelled"] == len(VERBS)


def test_a_slice_comes_to_every_verb_before_it_comes_to_one_again() -> None:
    verbs = [verb for verb, _ in evidence._PAIRS]
    for begin in range(len(verbs)):
        assert {*(verbs[begin:] + verbs[:begin])[: len(VERBS)]} == {*VERBS}


def test_slices_after_each_other_begin_with_verbs_of_their_own() -> None:
    pairs = len(evidence._PAIRS)
    for step in (1, SEEDS_PER_SLICE):
        assert len({number * step * evidence._STRIDE % pairs for number in range(pairs)}) == pairs


def test_a_violation_says_how_to_see_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    join = Engine.join

    def spoilt(engine: Engine, run: Run) -> None:
        logging.getLogger("lockmanager").error("spoilt")
        join(engine, run)

    monkeypatch.setattr(Engine, "join", spoilt)
    violation = evidence.run(seconds=1, seed=1, directory=tmp_path).violations[0]
    complaint, _, again = violation.partition("; again with: python -m tests.virtual ")
    assert command.main(shlex.split(again)) == 1
    assert complaint in capsys.readouterr().out


def test_a_case_without_a_finding_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["release", "--seed", "1", "--blow", "s1late"]) == 0
    assert "1 suspensions" in capsys.readouterr().out


def test_runs_leave_no_objects_behind() -> None:
    before = _objects_after(runs=2)
    assert _objects_after(runs=5) - before < 5 * ONE_RUN


def _objects_after(runs: int) -> int:
    for seed in range(runs):
        play(Case("acquire held by another", seed))
    gc.collect()
    return len(gc.get_objects())
