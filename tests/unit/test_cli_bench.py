"""What `lockmanager bench` refuses, which names it makes, and how it shows its figures; no cluster is needed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from lockmanager.cli.app import app
from lockmanager.cli.bench.figures import Alone, Crowd, Figures, Queue, RoundTrip
from lockmanager.cli.bench.names import Names, fault, ttl
from lockmanager.cli.bench.showing import Setting, document, duration, rows
from lockmanager.topology import Limits

NAMES = Names("bench/", "0123456789ab")
SETTING = Setting("c", 3, 3, NAMES.root, workers=1000, seconds=3.0, event_loop="uvloop")
FIGURES = Figures(
    Alone(4000, 0.00062, 0.0011),
    Crowd(54_321, 18_107.2, 0.0000343),
    Queue(30, 9.96, 0.0731, 1.5, 2),
    (RoundTrip("node1", "http://a", 0.00005, 0.00002), RoundTrip("node2", "http://b", cause="connection refused")),
)


def bench(*arguments: str) -> Result:
    env = {"LOCKMANAGER_CLUSTER": None, "LOCKMANAGER_NETWORK": None, "LOCKMANAGER_API_KEY": None}
    return CliRunner().invoke(app, ["bench", *arguments], env=env)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--workers", "0"),
        ("--workers", "10001"),
        ("--workers", "many"),
        ("--seconds", "0"),
        ("--seconds", "-1"),
        ("--seconds", "600.1"),
        ("--seconds", "nan"),
        ("--seconds", "inf"),
        ("--seconds", "1e-400"),
        ("--prefix", ""),
        ("--prefix", "\udcff"),
    ],
)
def test_nonsense_is_refused_by_its_option_s_name_before_a_cluster_is_looked_for(option: str, value: str) -> None:
    result = bench("--config", "/nowhere", option, value)
    assert result.exit_code == 64
    assert f"Invalid value for '{option}'" in result.stderr
    assert all(line.startswith("lockmanager: ") for line in result.stderr.splitlines())


def test_without_a_cluster_it_says_how_to_give_one() -> None:
    result = bench("--workers", "1", "--seconds", "600")
    assert result.exit_code == 78
    assert "--config" in result.stderr
    assert "--url" in result.stderr


def test_every_name_begins_with_the_prefix_and_what_only_this_run_has() -> None:
    names = [NAMES.warm_up("crowd"), NAMES.alone(0), NAMES.crowd(7, 2), NAMES.queue, NAMES.last]
    assert all(name.startswith("bench/0123456789ab/") for name in names)
    assert len(set(names)) == 5


def test_a_run_uses_few_names_however_long_it_takes() -> None:
    assert len({NAMES.alone(number) for number in range(1000)}) == 50
    assert len({NAMES.crowd(3, number) for number in range(1000)}) == 4


def test_workers_of_a_crowd_never_share_a_name() -> None:
    assert len({NAMES.crowd(worker, number) for worker in range(100) for number in range(4)}) == 400


def test_a_prefix_fits_when_its_longest_name_does_and_not_one_byte_more() -> None:
    every = [NAMES.crowd(99, 3), NAMES.alone(49), NAMES.queue, *map(NAMES.warm_up, ("alone", "crowd", "queue"))]
    longest = max(len(name) for name in every)
    assert fault(NAMES, 100, Limits(name_bytes=longest)) is None
    assert fault(NAMES, 100, Limits(name_bytes=longest - 1)) == (
        "--prefix has 6 bytes; names in this cluster leave room for 5"
    )


def test_a_prefix_is_measured_in_bytes() -> None:
    assert fault(Names("é" * 128, "r"), 1, Limits()) is not None
    assert fault(Names("e" * 128, "r"), 1, Limits()) is None


def test_more_workers_than_may_wait_for_a_name_are_refused() -> None:
    assert fault(NAMES, 10, Limits(waiters=10)) is None
    assert fault(NAMES, 11, Limits(waiters=10)) == "--workers 11: in this cluster at most 10 may wait for one name"


def test_the_ttl_is_ten_seconds_where_the_cluster_allows_that() -> None:
    assert ttl(Limits()) == 10.0
    assert ttl(Limits(min_ttl=20.0)) == 20.0
    assert ttl(Limits(max_ttl=5.0)) == 5.0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0000343, "34.3 µs"),
        (0.000999, "999 µs"),
        (0.0009996, "1.00 ms"),
        (0.0011, "1.10 ms"),
        (0.1, "100 ms"),
        (0.9999, "1.00 s"),
        (1.5, "1.50 s"),
        (75.25, "75.25 s"),
        (0.0, "0.00 µs"),
    ],
)
def test_a_duration_has_three_digits_in_the_unit_that_fits_it(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_run_tells_the_cluster_it_measured_and_from_where() -> None:
    where = "cluster 'c': 3 nodes, 3 decide about a name"
    assert str(SETTING) == f"{where}; one client process (uvloop), 3 s per part"


def test_the_table_has_a_row_for_every_figure_and_a_cause_where_a_node_gave_none() -> None:
    assert list(rows(SETTING, FIGURES)) == [
        ("one worker", "acquire + release, median", "620 µs"),
        ("", "acquire + release, 99th percentile", "1.10 ms"),
        ("1,000 workers, names of their own", "acquire + release", "18,107 /s"),
        ("", "client CPU for each", "34.3 µs"),
        ("1,000 workers, one name", "hand-overs", "10.0 /s"),
        ("", "wait, median", "73.1 ms"),
        ("", "wait, longest", "1.50 s"),
        ("", "overtakings", "2"),
        ("round trip to node1", "ping, median", "50.0 µs"),
        ("round trip to node2", "connection refused", "-"),
    ]


def test_the_document_is_json_with_null_where_there_is_no_figure() -> None:
    shown = json.loads(json.dumps(document(SETTING, FIGURES), allow_nan=False))
    assert sorted(shown) == ["alone", "crowd", "queue", "round_trips", "setting"]
    assert shown["alone"] == {"cycles": 4000, "median": 0.00062, "p99": 0.0011}
    assert shown["queue"]["overtakings"] == 2
    assert shown["round_trips"][1] == {
        "node": "node2",
        "url": "http://b",
        "median": None,
        "fastest": None,
        "cause": "connection refused",
    }
    assert shown["setting"]["seconds"] == 3.0
