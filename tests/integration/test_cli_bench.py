"""`lockmanager bench` against real nodes: what it shows, and that it leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from msgspec import structs

from lockmanager import Coordinator, Lease, QuorumUnavailable
from lockmanager.cli import asking, target
from lockmanager.cli.app import app
from lockmanager.cli.bench import command, leaving, workloads
from lockmanager.cli.bench.figures import Line
from lockmanager.cli.bench.names import Names
from lockmanager.discovery import ClusterDocuments
from lockmanager.durations import MICROSECONDS
from lockmanager.testing import LocalCluster
from lockmanager.topology import ApiKey, Cluster, Limits, render_yaml
from lockmanager.wire import Acquire
from lockmanager_node.table import Table
from tests.support.cli import DEADLINE, Ending, eventually, start
from tests.support.local import mend, running

PREFIX = "bench-of-the-tests/"
SHORT = ("--seconds", "0.1", "--workers", "5", "--prefix", PREFIX)
PARTS = ("/alone/", "/crowd/", "/queue")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Acquire]:
    """Every lock that any node of this process is asked for, by whomever."""
    found: list[Acquire] = []
    handle = Table.handle

    def record(table: Table, owner: Any, request: Any, *rest: Any) -> Any:
        if isinstance(request, Acquire):
            found.append(request)
        return handle(table, owner, request, *rest)

    monkeypatch.setattr(Table, "handle", record)
    return found


@pytest.fixture
def whole(shared_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """The module's cluster, made whole again after the test."""
    yield shared_cluster
    asyncio.run(mend(shared_cluster))


def bench(config: Path | str, *arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(app, ["bench", "--config", str(config), *SHORT, *arguments], env=variables)


def assert_nothing_is_left(cluster: LocalCluster, *nodes_down: str) -> None:
    """Look at every node at once, not when the ttl has done the work."""
    shown = CliRunner().invoke(app, ["locks", "--config", str(cluster.config_path), "--json"])
    assert json.loads(shown.stdout)["locks"] == []
    assert list(json.loads(shown.stdout)["missing"]) == list(nodes_down)


def assert_only_its_own(asked: list[Acquire]) -> None:
    """Check that every name asked for is of one run under the prefix, and would soon be free of itself."""
    roots = {request.name[: len(PREFIX) + 13] for request in asked}
    assert len(roots) == 1
    (root,) = roots
    assert root.startswith(PREFIX)
    assert root.endswith("/")
    assert {request.ttl for request in asked} == {10 * MICROSECONDS}


def test_one_table_shows_every_part_and_every_node(shared_cluster: LocalCluster) -> None:
    result = bench(shared_cluster.config_path)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in ("one worker", "5 workers, names of their own", "5 workers, one name", "overtakings"):
        assert result.stdout.count(words) == 1
    for node in shared_cluster.node_ids:
        assert f"round trip to {node}" in result.stdout
    assert "cluster 'local': 3 nodes, 3 decide about a name" in result.stdout


def test_the_json_has_a_figure_for_every_part_and_every_node(shared_cluster: LocalCluster) -> None:
    shown = json.loads(bench(shared_cluster.config_path, "--json").stdout)
    assert 0 < shown["alone"]["median"] <= shown["alone"]["p99"]
    assert shown["crowd"]["cycles"] > 0
    assert shown["crowd"]["per_second"] > 0
    assert shown["crowd"]["client_cpu"] > 0
    assert shown["queue"]["hand_overs"] > 0
    assert 0 < shown["queue"]["median_wait"] <= shown["queue"]["longest_wait"]
    assert shown["queue"]["overtakings"] >= 0
    assert [trip["node"] for trip in shown["round_trips"]] == list(shared_cluster.node_ids)
    assert all(0 < trip["fastest"] <= trip["median"] for trip in shown["round_trips"])
    assert (shown["setting"]["workers"], shown["setting"]["event_loop"]) == (5, "uvloop")


def test_afterwards_nothing_is_held_and_no_other_name_was_ever_asked_for(
    shared_cluster: LocalCluster, asked: list[Acquire]
) -> None:
    result = bench(shared_cluster.config_path, "--json")
    assert_nothing_is_left(shared_cluster)
    assert_only_its_own(asked)
    assert asked[0].name.startswith(json.loads(result.stdout)["setting"]["names"])
    for part in PARTS:
        assert any(part in request.name for request in asked)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "number"),
    [("/alone/", signal.SIGINT), ("/crowd/", signal.SIGINT), ("/queue", signal.SIGINT), ("/queue", signal.SIGTERM)],
)
def test_a_signal_in_the_middle_of_any_part_leaves_nothing_held(
    shared_cluster: LocalCluster, asked: list[Acquire], part: str, number: signal.Signals
) -> None:
    seconds = "600" if part == "/alone/" else "1"
    options = ("--config", str(shared_cluster.config_path), "--prefix", PREFIX, "--seconds", seconds)
    with Ending(start("bench", *options, "--workers", "20")) as process:
        eventually(lambda: sum(part in request.name for request in asked[:]) > 100, f"{part} is under way")
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 128 + number
    assert_nothing_is_left(shared_cluster)
    assert_only_its_own(asked)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Let the twentieth acquisition of a part fail."""
    acquire, count = Coordinator.acquire, 0

    async def fail_once(coordinator: Coordinator, name: str, **options: Any) -> Lease:
        nonlocal count
        count += part in name
        if count == 5:  # early: a slow disk must not end the part first
            raise QuorumUnavailable(name, needed=2, reachable=1)
        return await acquire(coordinator, name, **options)

    monkeypatch.setattr(Coordinator, "acquire", fail_once)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.usefixtures("failing")
def test_an_error_in_the_middle_of_any_part_leaves_nothing_held(shared_cluster: LocalCluster) -> None:
    result = bench(shared_cluster.config_path, "--seconds", "0.3")
    assert result.exit_code == 69
    assert "needs 2 nodes and 1 can be reached" in result.stderr
    assert result.stdout == ""
    assert_nothing_is_left(shared_cluster)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.usefixtures("failing")
async def test_an_error_ends_a_part_long_before_its_time(shared_cluster: LocalCluster, part: str) -> None:
    async with asyncio.timeout(DEADLINE), shared_cluster.coordinator() as coordinator:
        work = workloads.Workloads(coordinator, Names(PREFIX, "one run"), seconds=600)
        measures: dict[str, Callable[[], Awaitable[object]]] = {
            "/alone/": work.alone,
            "/crowd/": lambda: work.crowd(5),
            "/queue": lambda: work.queue(5),
        }
        with pytest.raises(QuorumUnavailable):
            await measures[part]()


@pytest.mark.slow
def test_what_still_stands_at_the_end_is_told_with_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_run_id", lambda: "known")
    monkeypatch.setattr(leaving, "_LONGEST", 0.0)
    with running() as cluster:
        requests.post(f"{cluster.urls['node2']}/v1/acquire", json={"name": f"{PREFIX}known/a", "ttl": 60}, timeout=10)
        result = bench(cluster.config_path)
    assert result.exit_code == 0
    assert f"'{PREFIX}known/' still stand on node2 (1)" in result.stderr


@pytest.mark.slow
def test_two_runs_have_no_name_in_common(shared_cluster: LocalCluster, asked: list[Acquire]) -> None:
    bench(shared_cluster.config_path)
    first = {request.name for request in asked}
    asked.clear()
    bench(shared_cluster.config_path)
    assert first.isdisjoint(request.name for request in asked)


def test_without_uvloop_the_standard_loop_does(shared_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert json.loads(bench(shared_cluster.config_path, "--json").stdout)["setting"]["event_loop"] == "asyncio"


def test_any_one_node_s_url_is_enough(shared_cluster: LocalCluster) -> None:
    result = CliRunner().invoke(app, ["bench", "--url", shared_cluster.urls["node2"], *SHORT])
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.slow
def test_a_minority_that_is_down_is_named_and_the_rest_measured(whole: LocalCluster) -> None:
    asyncio.run(whole.kill("node2"))
    result = bench(whole.config_path, "--json")
    assert result.exit_code == 0
    assert [trip["cause"] for trip in json.loads(result.stdout)["round_trips"]] == [None, "connection refused", None]
    assert_nothing_is_left(whole, "node2")


def test_too_few_nodes_are_69_and_each_is_named(whole: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "PATIENCE", 0.2)
    asyncio.run(whole.kill("node1", "node3"))
    result = bench(whole.config_path)
    assert result.exit_code == 69
    assert all(f"{node}: connection refused" in result.stderr for node in ("node1", "node3"))


@pytest.mark.slow
def test_nodes_that_stand_still_in_the_middle_do_not_keep_it(
    asked: list[Acquire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PATIENCE", 0.2)
    monkeypatch.setattr(workloads, "_GRACE", 0.2)
    monkeypatch.setattr(asking, "_DEADLINE", 0.2)
    # A cluster of its own: nodes that go on read then what they were asked for before.
    with running() as cluster:

        def stand_still() -> None:
            eventually(lambda: any("/crowd/" in request.name for request in asked[:]), "the crowd is under way")
            asyncio.run(cluster.pause("node1", "node3"))

        stopper = threading.Thread(target=stand_still)
        stopper.start()
        result = bench(cluster.config_path, "--seconds", "0.5")
        stopper.join()
    assert result.exit_code == 69
    assert_only_its_own(asked)


@pytest.mark.slow
def test_nodes_that_stand_still_in_the_last_part_are_69_not_a_slow_cluster(
    asked: list[Acquire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PATIENCE", 0.2)
    monkeypatch.setattr(asking, "_DEADLINE", 0.2)
    settle = Line.settle
    with running() as cluster:

        def stand_still(line: Line, now: float) -> None:
            pausing = threading.Thread(target=lambda: asyncio.run(cluster.pause("node1", "node3")))
            pausing.start()
            pausing.join()
            settle(line, now)

        monkeypatch.setattr(Line, "settle", stand_still)
        result = bench(cluster.config_path)
    assert result.exit_code == 69
    assert result.stdout == ""


@pytest.mark.slow
def test_nodes_found_by_a_public_url_are_looked_at_there_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_run_id", lambda: "known")
    monkeypatch.setattr(leaving, "_LONGEST", 0.0)
    # From here the address inside leads nowhere, as the name of a container does on its host.
    with running(1) as cluster:
        (address,) = cluster.cluster.nodes
        hidden = structs.replace(address, url="http://node1.invalid:8000", public_url=address.url)
        document = structs.replace(cluster.cluster, nodes=(hidden,))
        monkeypatch.setattr(target, "load_document", lambda *_, **__: _at_once(document))
        monkeypatch.setattr(ClusterDocuments, "load", lambda *_: _at_once(document))
        requests.post(f"{address.url}/v1/acquire", json={"name": f"{PREFIX}known/a", "ttl": 60}, timeout=10)
        result = CliRunner().invoke(app, ["bench", "--url", address.url, *SHORT])
    assert result.exit_code == 0
    assert f"'{PREFIX}known/' still stand on node1 (1)" in result.stderr


async def _at_once(cluster: Cluster) -> Cluster:
    return cluster


def test_a_part_in_which_nothing_ended_is_a_failure_that_says_so(shared_cluster: LocalCluster) -> None:
    result = bench(shared_cluster.config_path, "--seconds", "1e-9", "--json")
    assert result.exit_code == 1
    assert "nothing was counted in: alone, crowd, queue" in result.stderr
    assert json.loads(result.stdout)["alone"] == {"cycles": 0, "median": None, "p99": None}


@pytest.mark.parametrize(
    ("limits", "option", "value"),
    [(Limits(waiters=4), "--workers", "5"), (Limits(name_bytes=40), "--prefix", "p" * 30)],
)
def test_what_this_cluster_s_limits_forbid_is_64_and_nothing_is_asked_for(
    shared_cluster: LocalCluster, asked: list[Acquire], tmp_path: Path, limits: Limits, option: str, value: str
) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text(render_yaml(structs.replace(shared_cluster.cluster, limits=limits)))
    result = bench(config, option, value)
    assert result.exit_code == 64
    assert option in result.stderr
    assert asked == []


def test_nodes_that_want_a_key_are_measured_with_it_and_refuse_without_it() -> None:
    local = LocalCluster(3)
    local.cluster = structs.replace(local.cluster, api_keys=(ApiKey("key1", sha256(b"right").hexdigest()),))
    asyncio.run(local.__aenter__())
    try:
        for key in ("", "wrong"):
            denied = bench(local.config_path, LOCKMANAGER_API_KEY=key)
            assert denied.exit_code == 77
            assert "wrong" not in denied.stderr.replace("missing or wrong", "")
        measured = bench(local.config_path, "--json", LOCKMANAGER_API_KEY="right")
        assert measured.exit_code == 0
        assert all(trip["cause"] is None for trip in json.loads(measured.stdout)["round_trips"])
        assert "right" not in measured.output
    finally:
        asyncio.run(local.__aexit__(None, None, None))
