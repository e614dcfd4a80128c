"""What a silent node says to clients: not now, why not, and when to ask again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lockmanager.cli.app import app
from lockmanager.topology import render_yaml
from lockmanager.wire import Space
from tests.support.node_group import Group, Member, group

TOKEN = "T" * 32


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Group]:
    """Three nodes that serve."""
    async with group(tmp_path / "disks") as nodes:
        await nodes.start_all()
        nodes.members["node2"].hold(Space.QUORUM, "orders/42", TOKEN, ttl=600)
        yield nodes


@pytest.fixture
async def silent(nodes: Group) -> Member:
    """One of them, after it has lost its disk."""
    return await nodes.replace("node1")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/acquire", {"name": "orders/42"}),
        ("/v1/acquire", {"name": "orders/42", "wait": 5}),
        ("/v1/renew", {"token": TOKEN, "ttl": 10}),
        ("/v1/release", {"token": TOKEN}),
        ("/v1/revoke", {"name": "orders/42"}),
        ("/v1/revoke", {"name": "orders/42", "space": "quorum", "force": True}),
    ],
)
async def test_nothing_is_given_taken_or_denied(silent: Member, path: str, body: object) -> None:
    silent.clock.advance(11.5)
    reply = await silent.post(path, body)
    assert reply.status == 503
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Retry-After"] == "19"
    assert reply.headers["Cache-Control"] == "no-store"
    assert (reply.json["code"], reply.json["remaining"]) == ("recovering", 18.5)
    assert (silent.table.lease_count, silent.table.waiter_count) == (0, 0)


async def test_a_bad_request_is_told_what_is_wrong_with_it_first(silent: Member) -> None:
    assert (await silent.post("/v1/acquire", {"name": ""})).status == 400


async def test_readiness_counts_down_and_never_says_to_ask_again_at_once(silent: Member) -> None:
    for passed in (0.0, 0.25, 9.75, 19.5):
        silent.clock.advance(passed)
        reply = await silent.get("/readyz")
        remaining = reply.json["remaining"]
        assert reply.status == 503
        assert reply.headers["Retry-After"] == str(max(1, math.ceil(remaining)))
    assert remaining == 0.5


async def test_the_classic_api_gives_no_token(silent: Member) -> None:
    reply = await silent.get("/getLock/orders")
    assert reply.status == 503
    assert reply.headers["Retry-After"] == "30"
    assert reply.text == "false"
    assert (await silent.get(f"/releaseLock/orders/{TOKEN}")).status == 503


@pytest.mark.parametrize("path", ["/healthz", "/v1/cluster", "/v1/locks", "/v1/locks/orders", "/v1/recovery"])
async def test_what_gives_nothing_is_answered(silent: Member, path: str) -> None:
    assert (await silent.get(path)).status == 200


async def test_the_silence_ends_with_what_others_hold(nodes: Group, silent: Member) -> None:
    nodes.end_of_silence()
    await silent.becomes_ready()
    assert (await silent.get("/readyz")).status == 200
    (lock,) = (await silent.get("/v1/locks")).json["locks"]
    assert (lock["name"], lock["space"], len(lock["holders"])) == ("orders/42", "quorum", 1)
    assert lock["holders"][0]["remaining"] == 600


async def test_no_grant_is_given_one_microsecond_too_early(nodes: Group, silent: Member) -> None:
    nodes.clock._now += 30 * 1_000_000 - 1
    await silent.asks_more_rounds()
    assert not silent.ready
    assert (await silent.post("/v1/acquire", {"name": "own"})).status == 503
    nodes.clock._now += 1
    await silent.becomes_ready()
    assert (await silent.post("/v1/acquire", {"name": "own"})).status == 200


async def test_who_is_missing_is_named_when_time_alone_no_longer_helps(nodes: Group, silent: Member) -> None:
    await nodes.end("node3", abruptly=False)
    nodes.end_of_silence()
    await silent.asks_more_rounds()
    reply = await silent.get("/readyz")
    assert (reply.headers["Retry-After"], reply.json["remaining"]) == ("1", 0)
    assert "from 2 peers what is held, and has learnt it from 1" in reply.json["detail"]
    assert "node3: connection refused" in reply.json["detail"]
    assert "--new-cluster" in reply.json["detail"]


async def test_the_operator_s_word_ends_it_at_once(nodes: Group) -> None:
    again = await nodes.replace("node1", new_cluster=True)
    assert again.ready
    assert again.table.lease_count == 0
    assert (await again.post("/v1/acquire", {"name": "own"})).json["fence"] > nodes.clock.wall()


async def test_the_status_command_shows_why(nodes: Group, silent: Member, tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text(render_yaml(nodes.cluster), encoding="utf-8")
    shown = await asyncio.to_thread(lambda: CliRunner().invoke(app, ["status", "--config", str(config)]))
    assert shown.exit_code == 0
    said = " ".join(shown.stdout.split())
    assert "not ready: this node recovers" in said
    assert "30.0" in said
    assert "2 of 3 nodes ready, 2 needed" in said
