"""The evidence says on which ground a slice ran, what it found, and the command that runs it again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos import __main__ as command_line
from tests.chaos import evidence
from tests.chaos.containers import Containers
from tests.chaos.evidence import run
from tests.chaos.stage import Outcome, Run
from tests.evidence.record import Record


class _Machine:
    """What the machine permits, and what the next run finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.no_namespaces: str | None = None
        self.no_containers: str | None = None
        self.outcome = Outcome(60.0, Counter({"cycles": 9, "nemesis/sigkill_node": 2, "lost_updates/unchecked": 3}))
        monkeypatch.setattr(evidence, "missing_namespaces", lambda: self.no_namespaces)
        monkeypatch.setattr(evidence, "missing_containers", lambda: self.no_containers)
        monkeypatch.setattr(evidence, "Containers", _Unstarted)

        async def perform(_run: Run) -> Outcome:
            return self.outcome

        monkeypatch.setattr(Run, "perform", perform)


class _Unstarted(Containers):
    """Containers of which none is ever started."""

    def __init__(self) -> None:
        """Ask no engine."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> _Machine:
    return _Machine(monkeypatch)


def _slice(directory: Path, *, seconds: float = 60.0, seed: int = 1) -> Record:
    return run(seconds=seconds, seed=seed, directory=directory)


def _kinds(directory: Path, seeds: range, seconds: float = 60.0) -> set[str]:
    """Return on which grounds slices of these seeds take place."""
    records = [_slice(directory, seconds=seconds, seed=seed) for seed in seeds]
    return {name for record in records for name in record.counts if name.startswith("slices/")}


@pytest.mark.usefixtures("machine")
def test_a_slice_counts_what_the_run_counted_and_how_long_things_were_broken(tmp_path: Path) -> None:
    record = _slice(tmp_path)
    assert (record.part, record.seconds) == ("chaos", 60.0)
    assert {"clients", "partitions", "containers"} == set(record.facts)
    assert (record.counts["cycles"], record.counts["nemesis/sigkill_node"]) == (9, 2)
    assert record.counts["milliseconds_of_chaos"] == record.counts["milliseconds_of_chaos/processes"] == 60_000


@pytest.mark.usefixtures("machine")
def test_node_processes_and_containers_take_turns_where_there_is_an_engine(tmp_path: Path) -> None:
    assert _kinds(tmp_path, range(3)) == {"slices/processes", "slices/containers"}
    assert _kinds(tmp_path, range(3), seconds=20.0) == {"slices/processes"}


def test_where_something_is_missing_the_facts_say_what_was_done_instead_and_why(
    machine: _Machine, tmp_path: Path
) -> None:
    machine.no_namespaces, machine.no_containers = "network namespaces need root", "no Docker engine answers"
    assert _kinds(tmp_path, range(6)) == {"slices/processes"}
    facts = _slice(tmp_path).facts
    assert facts["slices without network namespaces"].endswith("on loopback only: network namespaces need root")
    assert facts["slices without containers"] == "on node processes instead: no Docker engine answers"
    assert not {"partitions", "containers"} & set(facts)


def test_a_violation_names_a_command_that_runs_the_slice_again(machine: _Machine, tmp_path: Path) -> None:
    machine.outcome.violations.append("two held it")
    for seed in range(6):
        record = _slice(tmp_path, seed=seed)
        (sentence,) = record.violations
        text, _, command = sentence.removesuffix(")").partition(" (python -m tests.chaos ")
        assert text == "two held it"
        options = command_line._parser().parse_args(command.split())
        assert (options.seconds, options.seed) == (60.0, seed)
        assert options.containers == ("slices/containers" in record.counts)


def test_the_positive_control_passes_only_with_lost_updates_and_without_violations(
    machine: _Machine, tmp_path: Path
) -> None:
    assert list(_slice(tmp_path).passed.values()) == [
        "3 and 0 lost: python -m tests.chaos --seconds 60 --seed 1 --nodes 3 --replicas 3"
    ]
    machine.outcome.violations.append("two held it")
    assert _slice(tmp_path).passed == {}
    machine.outcome = Outcome(60.0, Counter({"cycles": 9}))
    assert _slice(tmp_path).passed == {}


def test_a_run_on_containers_that_cannot_be_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "missing_containers", lambda: "no Docker engine answers")
    monkeypatch.setattr(command_line, "_handle_signals", lambda: None)
    assert command_line.main(["--containers"]) == 2
    assert capsys.readouterr().err == "no containers: no Docker engine answers\n"
