"""The benchmark's book, its targets and its table."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.ledger import Figure, Ledger
from tests.benchmarks.plan import WORKLOADS
from tests.benchmarks.rounds import queue_found
from tests.benchmarks.subject import Crowd
from tests.benchmarks.table import SECTIONS, render
from tests.benchmarks.targets import TARGETS, Target

OURS, PEER = Figure("w1.p50", "ours"), Figure("w1.p50", "floor")


def ledger_of(**rounds: list[float]) -> Ledger:
    """Return a book with W1 of some subjects, a value for each round."""
    ledger = Ledger()
    for subject, values in rounds.items():
        ledger.names[subject] = f"the {subject}"
        for turn, value in enumerate(values):
            ledger.add(turn, "w1.p50", subject, value)
    return ledger


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert ledger_of(ours=[3.0, 1.0, 100.0]).value(*OURS) == 3.0
    assert ledger_of().value(*OURS) is None


def test_single_events_are_summed_over_the_rounds() -> None:
    ledger = Ledger()
    for turn, overtakings in enumerate([0, 0, 1]):
        ledger.add(turn, "w3.100.overtakings", "ours", overtakings)
    assert ledger.value("w3.100.overtakings", "ours") == 1


def test_a_ratio_is_taken_within_each_round() -> None:
    # A machine that is ten times slower in one round is so for both.
    ledger = ledger_of(ours=[2.0, 30.0, 4.0], floor=[1.0, 10.0, 1.0])
    assert ledger.ratio(OURS, PEER) == 3.0


def test_a_round_that_measured_only_one_side_gives_no_ratio() -> None:
    assert ledger_of(ours=[2.0, 9.0], floor=[1.0]).ratio(OURS, PEER) == 2.0
    assert ledger_of(ours=[2.0]).ratio(OURS, PEER) is None
    assert ledger_of(ours=[2.0], floor=[0.0]).ratio(OURS, PEER) is None


@pytest.mark.parametrize(("at_least", "reached"), [(False, [True, True, False]), (True, [False, True, True])])
def test_a_target_is_reached_at_its_limit(at_least: bool, reached: list[bool]) -> None:
    target = Target("W1", "in memory", "p50", 2.0, OURS, at_least=at_least)
    assert [target.reached(value) for value in (1.9, 2.0, 2.1)] == reached


def test_every_target_speaks_of_a_workload_there_is() -> None:
    assert {target.workload for target in TARGETS} == WORKLOADS.keys()
    assert {section.workload for section in SECTIONS} == WORKLOADS.keys()


def test_the_table_tells_figures_ratios_and_whether_targets_are_reached() -> None:
    text = render(ledger_of(ours=[200e-6], floor=[160e-6], redis=[320e-6]), ["W1"])
    (row,) = [line for line in text.splitlines() if line.startswith("  the ours")]
    assert row.split() == ["the", "ours", "200", "-", "1.25", "0.62"]
    verdicts = [line.split()[-2:] for line in text.splitlines() if line.startswith("  W1 in memory")]
    assert verdicts == [["1.25", "reached"], ["NOT", "REACHED"]]


def test_the_table_names_who_is_missing_and_what_failed() -> None:
    ledger = ledger_of(ours=[1e-4])
    ledger.missing["etcd"] = "etcd is not installed"
    ledger.failed["W3 redis"] = "TimeoutError"
    lines = render(ledger).splitlines()
    assert lines[-2:] == ["not measured: etcd: etcd is not installed", "failed: W3 redis: TimeoutError"]


def test_the_report_holds_the_values_of_every_round() -> None:
    document = report.document({"cpus": 2}, ledger_of(ours=[2.0, 4.0], floor=[1.0, 1.0]))
    assert document["facts"] == {"cpus": 2}
    assert {"metric": "w1.p50", "subject": "ours", "value": 3.0, "rounds": [2.0, 4.0]} in document["figures"]
    first = document["targets"][0]
    assert (first["measured"], first["at_most"], first["reached"]) == (3.0, 1.35, False)


def test_the_chart_is_drawn_of_whatever_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = list(report.write(tmp_path, {"cpus": 2}, ledger_of(ours=[2e-4], floor=[1e-4])))
    assert [path.name for path in written] == ["benchmark.json", "benchmark.svg", "benchmark.png"]
    assert all(path.stat().st_size > 100 for path in written)


def test_fairness_is_the_longest_wait_against_the_median() -> None:
    found = queue_found("w3.10", Crowd(cycles=4, elapsed=2.0, waits=[1.0, 1.0, 2.0, 5.0], overtakings=1))
    assert (found["w3.10.rate"], found["w3.10.spread"], found["w3.10.overtakings"]) == (2.0, 5.0, 1)
    assert math.isnan(queue_found("w3.10", Crowd(elapsed=1.0))["w3.10.spread"])
