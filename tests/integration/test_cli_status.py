"""`lockmanager status` and `lockmanager locks`: the picture they give, and what they say when nodes are missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from lockmanager import Coordinator
from lockmanager.cli.app import app
from lockmanager.testing import LocalCluster
from lockmanager.topology import ApiKey, render_yaml
from tests.support.cli import lockmanager


@pytest.fixture
async def local() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(3) as local:
        yield local


@pytest.fixture
async def coordinator(local: LocalCluster) -> AsyncIterator[Coordinator]:
    async with local.coordinator(label="me") as coordinator:
        yield coordinator


async def ask(config: Path | str, *arguments: str, **variables: str) -> Result:
    """Run a command in a thread of its own, as it has an event loop of its own."""
    where = "--url" if isinstance(config, str) else "--config"
    options = [*arguments, where, str(config)]
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, options, env=variables))


async def ask_json(config: Path | str, *arguments: str) -> Any:
    return json.loads((await ask(config, *arguments, "--json")).stdout)


async def test_a_cluster_that_works_is_shown_node_by_node(local: LocalCluster, coordinator: Coordinator) -> None:
    async with coordinator.lock("orders/42"):
        result = await ask(local.config_path, "status")
    assert result.exit_code == 0
    assert result.stderr == ""
    for node, url in local.urls.items():
        (row,) = [line.split() for line in result.stdout.splitlines() if f" {node} " in line]
        assert row == [node, url, "ready", "ok", "1", "0"]


async def test_a_minority_that_is_down_is_named_and_no_failure(local: LocalCluster) -> None:
    await local.kill("node2")
    result = await ask(local.config_path, "status")
    assert result.exit_code == 0
    assert "unreachable: connection refused" in result.stdout


async def test_without_a_majority_the_status_is_69(local: LocalCluster) -> None:
    await local.kill("node1", "node2")
    result = await ask(local.config_path, "status")
    assert result.exit_code == 69
    assert result.stderr == "lockmanager: 1 of 3 nodes are ready, 2 are needed\n"


async def test_any_one_node_s_url_shows_the_whole_cluster(local: LocalCluster) -> None:
    shown = await ask_json(local.urls["node3"], "status")
    assert (shown["ready"], shown["majority"]) == (3, 2)
    assert [node["id"] for node in shown["nodes"]] == ["node1", "node2", "node3"]


async def test_nodes_of_another_cluster_do_not_count(local: LocalCluster, tmp_path: Path) -> None:
    other = tmp_path / "cluster.yaml"
    other.write_text(render_yaml(local.cluster) + "epoch: 2\n")
    result = await ask(other, "status")
    assert result.exit_code == 69
    assert result.stdout.count("ANOTHER ONE") == 3
    assert (await ask(other, "locks")).exit_code == 69


async def test_something_that_is_no_lock_node_is_said_to_be_none(local: LocalCluster, tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        config = tmp_path / "cluster.yaml"
        port = server.sockets[0].getsockname()[1]
        config.write_text(f"name: c\nnodes:\n- {{id: node1, url: 'http://127.0.0.1:{port}'}}\n")
        result = await ask(config, "status")
    assert result.exit_code == 69
    assert "not as a lock node does" in result.stdout


@pytest.mark.processes
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_nodes_that_want_a_key_tell_whether_they_are_ready_and_nothing_else(key: str) -> None:
    local = LocalCluster(3)
    local.cluster = structs.replace(local.cluster, api_keys=(ApiKey("key1", sha256(b"right").hexdigest()),))
    async with local:
        assert (await ask(local.config_path, "status", LOCKMANAGER_API_KEY=key)).exit_code == 0
        locks = await ask(local.config_path, "locks", LOCKMANAGER_API_KEY=key)
        assert locks.exit_code == 77
        assert "key" in locks.stderr
        assert (await ask(local.config_path, "locks", LOCKMANAGER_API_KEY="right")).exit_code == 0
        command = ("run", "denied", "--config", str(local.config_path), "--", "true")
        run = await asyncio.to_thread(lambda: lockmanager(*command, LOCKMANAGER_API_KEY=key))
        assert run.returncode == 77
        assert "wrong" not in run.stderr


async def test_locks_are_put_together_from_all_nodes(local: LocalCluster, coordinator: Coordinator) -> None:
    async with coordinator.lock("orders/42", label="worker 7") as lease, coordinator.efficiency_lock("cheap"):
        waiting = asyncio.create_task(coordinator.acquire("orders/42"))
        shown = await ask_json(local.config_path, "locks")
        while not shown["locks"][1]["waiting"]:
            shown = await ask_json(local.config_path, "locks")
        text = (await ask(local.config_path, "locks", "--prefix", "orders/")).stdout
        cheap, orders = shown["locks"]
        waiting.cancel()
    assert (cheap["name"], cheap["space"], cheap["holders"][0]["label"]) == ("cheap", "efficiency", "me")
    (holder,) = orders["holders"]
    assert (holder["label"], holder["fence"], holder["nodes"], orders["of"]) == ("worker 7", lease.fence, 3, 3)
    assert 0 < holder["remaining"] <= 10
    (row,) = [line.split() for line in text.splitlines() if "orders/42" in line]
    assert row[:6] == ["orders/42", "quorum", "worker", "7", "exclusive", str(lease.fence)]
    assert row[-1] == "1"
    assert "cheap" not in text


async def test_more_locks_than_one_page_holds_are_all_shown(local: LocalCluster, coordinator: Coordinator) -> None:
    leases = await asyncio.gather(*(coordinator.acquire(f"many/{n:04}", ttl=60) for n in range(1100)))
    shown = await ask_json(local.config_path, "locks", "--prefix", "many/")
    assert [lock["name"] for lock in shown["locks"]] == [f"many/{n:04}" for n in range(1100)]
    assert {lock["holders"][0]["nodes"] for lock in shown["locks"]} == {3}
    for lease in leases:
        lease.release_soon()


async def test_a_node_s_own_lock_is_shown_with_its_node(local: LocalCluster) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{local.urls['node2']}/v1/acquire", json={"name": "own", "label": "curl"}) as answer,
    ):
        assert answer.status == 200
    (lock,) = (await ask_json(local.config_path, "locks"))["locks"]
    assert (lock["space"], lock["node"], lock["of"], lock["holders"][0]["label"]) == ("node", "node2", 1, "curl")


async def test_a_label_cannot_steer_the_terminal(local: LocalCluster, coordinator: Coordinator) -> None:
    async with coordinator.lock("evil", label="\x1b[2J[red]x[/red]"):
        shown = (await ask(local.config_path, "locks")).stdout
    assert "\\x1b[2J[red]x[/red]" in shown
    assert "\x1b" not in shown


async def test_nodes_that_are_missing_from_the_picture_are_named(local: LocalCluster, coordinator: Coordinator) -> None:
    async with coordinator.lock("orders/42"):
        await local.kill("node2")
        result = await ask(local.config_path, "locks")
    assert result.exit_code == 0
    assert result.stderr == "lockmanager: node2 is not in the picture: connection refused\n"
    assert "2/3" in result.stdout
    await local.kill("node3")
    assert (await ask(local.config_path, "locks")).exit_code == 69
