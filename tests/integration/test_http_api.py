"""The HTTP and JSON API of a node: locks, lists, health, keys."""

from __future__ import annotations

import asyncio
import json

import pytest

from lockmanager.topology import document
from lockmanager.wire import Mode, Space, State, Token, token_hash
from lockmanager_node.recovery import Readiness
from tests.support.node_server import Node, cluster, eventually, serving

TOKEN = "T" * 32
OTHER = "o" * 32


async def test_an_acquired_lock_comes_with_token_fence_ttl_and_mode(node: Node) -> None:
    lease = await node.acquire("orders/42", ttl=7.5)
    assert sorted(lease) == ["fence", "mode", "name", "token", "ttl"]
    assert (lease["name"], lease["ttl"], lease["mode"]) == ("orders/42", 7.5, "exclusive")
    assert len(lease["token"]) == 32
    assert lease["token"].isalnum()
    assert lease["fence"] == node.clock.wall()
    assert node.stands(lease["token"])


async def test_the_ttl_is_the_clusters_when_the_client_names_none(node: Node) -> None:
    assert (await node.acquire("a"))["ttl"] == 10.0


async def test_a_held_lock_is_refused_and_its_holder_is_named_without_the_token(node: Node) -> None:
    lease = await node.acquire("a", label="report")
    reply = await node.post("/v1/acquire", {"name": "a"})
    assert reply.status == 409
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["code"] == "held"
    assert reply.json["held_by"] == [
        {"label": "report", "token_hash": token_hash(Token(lease["token"])), "mode": "exclusive"}
    ]
    assert lease["token"] not in reply.text


async def test_shared_leases_stand_together_and_an_exclusive_one_alone(node: Node) -> None:
    assert (await node.acquire("a", mode="shared"))["mode"] == "shared"
    await node.acquire("a", mode="shared")
    reply = await node.post("/v1/acquire", {"name": "a", "mode": "exclusive"})
    assert reply.status == 409
    assert [holder["mode"] for holder in reply.json["held_by"]] == ["shared", "shared"]


async def test_fences_rise_from_holder_to_holder(node: Node) -> None:
    first = await node.acquire("a")
    await node.post("/v1/release", {"token": first["token"]})
    second = await node.acquire("a")
    assert second["fence"] > first["fence"]


async def test_an_acquire_sent_again_gives_the_same_lease_and_only_what_is_left_of_it(node: Node) -> None:
    first = await node.acquire("a", ttl=10, token=TOKEN)
    node.clock.advance(8)
    again = await node.acquire("a", ttl=10, token=TOKEN)
    assert again == first | {"ttl": 2.0}


async def test_a_lease_ends_with_its_ttl(node: Node) -> None:
    await node.acquire("a", ttl=10)
    node.clock.advance(9.9)
    assert (await node.post("/v1/acquire", {"name": "a"})).status == 409
    node.clock.advance(0.1)
    await node.acquire("a")


async def test_a_renewed_lease_outlives_its_first_ttl(node: Node) -> None:
    lease = await node.acquire("a", ttl=10)
    node.clock.advance(9)
    reply = await node.post("/v1/renew", {"token": lease["token"], "ttl": 20, "name": "a"})
    assert (reply.status, reply.json) == (200, {"ttl": 20.0})
    node.clock.advance(19.9)
    assert node.stands(lease["token"])


async def test_renewing_a_lease_that_is_over_says_lost(node: Node) -> None:
    lease = await node.acquire("a", ttl=10)
    node.clock.advance(10)
    reply = await node.post("/v1/renew", {"token": lease["token"], "ttl": 10})
    assert (reply.status, reply.json["code"]) == (410, "lost")


async def test_a_lease_that_is_over_is_lost_whatever_name_comes_with_its_token(node: Node) -> None:
    lease = await node.acquire("a", ttl=10)
    node.clock.advance(10)
    reply = await node.post("/v1/renew", {"token": lease["token"], "ttl": 10, "name": "b"})
    assert (reply.status, reply.json["code"]) == (410, "lost")


async def test_renewing_a_place_in_line_says_waiting(node: Node) -> None:
    await node.acquire("a")
    waiting = asyncio.create_task(node.post("/v1/acquire", {"name": "a", "wait": 60, "token": TOKEN}))
    await eventually(lambda: node.table.waiter_count == 1)
    reply = await node.post("/v1/renew", {"token": TOKEN, "ttl": 10})
    assert (reply.status, reply.json["code"]) == (409, "waiting")
    assert (await node.post("/v1/release", {"token": TOKEN})).json == {"released": True}
    assert node.table.waiter_count == 0
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_release_frees_the_lock_and_may_be_repeated(node: Node) -> None:
    lease = await node.acquire("a")
    for _ in range(2):
        reply = await node.post("/v1/release", {"token": lease["token"], "name": "a"})
        assert (reply.status, reply.json) == (200, {"released": True})
    await node.acquire("a")


@pytest.mark.parametrize(("path", "more"), [("/v1/renew", {"ttl": 10}), ("/v1/release", {})])
async def test_a_token_given_with_another_name_is_refused_and_nothing_is_lost(
    node: Node, path: str, more: dict[str, float]
) -> None:
    lease = await node.acquire("a", ttl=10)
    reply = await node.post(path, {"token": lease["token"], "name": "b"} | more)
    assert (reply.status, reply.json["code"]) == (409, "mismatch")
    assert node.stands(lease["token"])


@pytest.mark.parametrize("space", [Space.QUORUM, Space.EFFICIENCY])
async def test_leases_of_other_spaces_are_unknown_to_http(node: Node, space: Space) -> None:
    node.hold(space, "a", TOKEN, ttl=10)
    node.hold(space, "a", OTHER, wait=True)
    for token in (TOKEN, OTHER):
        assert (await node.post("/v1/release", {"token": token, "name": "x"})).json == {"released": True}
        reply = await node.post("/v1/renew", {"token": token, "ttl": 500})
        assert (reply.status, reply.json["code"]) == (410, "lost")
    assert (await node.post("/v1/acquire", {"name": "a", "token": TOKEN})).json["code"] == "token"
    assert node.table.waiter_count == 1
    assert node.stands(TOKEN)
    node.clock.advance(10)
    assert not node.stands(TOKEN)


async def test_locks_of_other_spaces_do_not_exclude_http_clients(node: Node) -> None:
    node.hold(Space.QUORUM, "a", TOKEN)
    await node.acquire("a")


async def test_a_revoked_lease_can_be_renewed_no_more_and_still_excludes(node: Node) -> None:
    lease = await node.acquire("a", ttl=10)
    assert (await node.post("/v1/revoke", {"name": "a"})).json == {"revoked": 1}
    reply = await node.post("/v1/renew", {"token": lease["token"], "ttl": 10})
    assert (reply.status, reply.json["code"]) == (410, "revoked")
    reply = await node.post("/v1/acquire", {"name": "a", "token": lease["token"]})
    assert (reply.status, reply.json["code"]) == (410, "revoked")
    assert (await node.post("/v1/acquire", {"name": "a"})).status == 409


async def test_a_lease_revoked_by_force_ends_at_once(node: Node) -> None:
    lease = await node.acquire("a", ttl=10)
    assert (await node.post("/v1/revoke", {"name": "a", "force": True})).json == {"revoked": 1}
    assert (await node.acquire("a"))["fence"] > lease["fence"]


async def test_revoke_reaches_the_space_it_names_and_no_other(node: Node) -> None:
    node.hold(Space.QUORUM, "a", TOKEN)
    assert (await node.post("/v1/revoke", {"name": "a", "force": True})).json == {"revoked": 0}
    assert node.stands(TOKEN)
    assert (await node.post("/v1/revoke", {"name": "a", "space": "quorum", "force": True})).json == {"revoked": 1}
    assert not node.stands(TOKEN)


# Waiting


async def test_a_waiting_acquire_is_answered_when_the_lock_is_released(node: Node) -> None:
    first = await node.acquire("a")
    waiting = asyncio.create_task(node.acquire("a", wait=60))
    await eventually(lambda: node.table.waiter_count == 1)
    await node.post("/v1/release", {"token": first["token"]})
    assert (await waiting)["fence"] > first["fence"]


async def test_a_waiting_acquire_is_answered_when_the_lease_before_it_ends(node: Node) -> None:
    await node.acquire("a", ttl=10)
    waiting = asyncio.create_task(node.acquire("a", wait=60))
    await eventually(lambda: node.table.waiter_count == 1)
    node.clock.advance(10)
    await node.get("/v1/locks")
    assert (await waiting)["name"] == "a"


async def test_a_wait_that_runs_out_is_refused_and_leaves_the_line(node: Node) -> None:
    await node.acquire("a", label="holder")
    reply = await node.post("/v1/acquire", {"name": "a", "wait": 0.01})
    assert (reply.status, reply.json["held_by"][0]["label"]) == (409, "holder")
    assert node.table.waiter_count == 0


async def test_a_client_that_goes_away_leaves_the_line_and_is_granted_nothing(node: Node) -> None:
    first = await node.acquire("a")
    body = json.dumps({"name": "a", "wait": 60, "token": TOKEN}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(b"POST /v1/acquire HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await eventually(lambda: node.table.waiter_count == 1)
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: node.table.waiter_count == 0)
    await node.post("/v1/release", {"token": first["token"]})
    assert node.table.lease_count == 0


async def test_a_retry_takes_over_the_place_of_the_request_before_it(node: Node) -> None:
    first = await node.acquire("a")
    lost = asyncio.create_task(node.acquire("a", wait=60, token=TOKEN))
    await eventually(lambda: node.table.waiter_count == 1)
    retry = asyncio.create_task(node.acquire("a", wait=60, token=TOKEN))
    lock = node.table.locks[Space.NODE, "a"]
    owner = next(iter(lock.line)).owner
    await eventually(lambda: next(iter(lock.line)).owner != owner)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    await node.post("/v1/release", {"token": first["token"]})
    assert (await retry)["token"] == TOKEN
    assert node.stands(TOKEN)


async def test_a_node_that_stops_tells_those_who_wait(node: Node) -> None:
    await node.acquire("a")
    waiting = asyncio.create_task(node.post("/v1/acquire", {"name": "a", "wait": 60}))
    await eventually(lambda: node.table.waiter_count == 1)
    node.service.stop()
    reply = await waiting
    assert (reply.status, reply.json["code"]) == (503, "stopping")
    assert reply.headers["Retry-After"] == "1"


# Health, cluster, headers


async def test_the_cluster_document_may_be_cached_for_a_minute(node: Node) -> None:
    reply = await node.get("/v1/cluster")
    assert reply.json == document(cluster())
    assert reply.headers["Cache-Control"] == "max-age=60"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/v1/locks", "/v1/locks/a", "/nowhere", "/getLock/x"])
async def test_everything_else_must_not_be_stored(node: Node, path: str) -> None:
    assert (await node.get(path)).headers["Cache-Control"] == "no-store"


async def test_answers_of_acquire_must_not_be_stored(node: Node) -> None:
    for _ in range(2):
        assert (await node.post("/v1/acquire", {"name": "a"})).headers["Cache-Control"] == "no-store"


async def test_a_node_that_serves_is_alive_and_ready(node: Node) -> None:
    assert (await node.get("/healthz")).json == {"status": "ok"}
    assert (await node.get("/readyz")).status == 200


STATE_CHANGING: list[tuple[str, dict[str, object]]] = [
    ("/v1/acquire", {"name": "b"}),
    ("/v1/renew", {"token": TOKEN, "ttl": 20}),
    ("/v1/release", {"token": TOKEN}),
    ("/v1/revoke", {"name": "a", "force": True}),
]


@pytest.mark.parametrize("code", ["recovering", "stopping"])
async def test_a_node_that_is_not_ready_changes_nothing_and_says_when_to_ask_again(node: Node, code: str) -> None:
    await node.acquire("a", token=TOKEN)
    if code == "recovering":
        node.service.readiness = Readiness(State.RECOVERING, "silent for 30 s after a restart")
    else:
        node.service.stop()
    for path, body in STATE_CHANGING:
        reply = await node.post(path, body)
        assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (503, code, "1")
    reply = await node.get("/readyz")
    assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (503, code, "1")
    assert (await node.get("/healthz")).status == 200
    assert node.stands(TOKEN)
    assert [item["name"] for item in (await node.get("/v1/locks")).json["locks"]] == ["a"]


async def test_a_recovering_node_gives_its_reason(node: Node) -> None:
    node.service.readiness = Readiness(State.RECOVERING, "silent for 30 s after a restart")
    assert (await node.get("/readyz")).json["detail"] == "silent for 30 s after a restart"


@pytest.mark.parametrize(
    "path", ["/v1/locks", "/v1/locks/a", "/v1/cluster", "/v1/acquire", "/getLock/a", "/getlock?lockname=a"]
)
async def test_head_is_answered_405_and_acts_on_nothing(node: Node, path: str) -> None:
    reply = await node.ask("HEAD", path)
    assert reply.status == 405
    assert node.table.lease_count == 0


async def test_a_wrong_method_is_told_which_one_to_use(node: Node) -> None:
    reply = await node.get("/v1/acquire")
    assert (reply.status, reply.json["code"], reply.headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_an_unknown_path_is_a_problem_too(node: Node) -> None:
    reply = await node.get("/v2/locks")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert (reply.status, reply.json["code"], reply.json["status"]) == (404, "not_found", 404)


async def test_a_fault_of_the_node_is_answered_500_and_logged_without_secrets(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError(TOKEN)

    monkeypatch.setattr(node.table, "handle", fail)
    reply = await node.post("/v1/acquire", {"name": "a", "token": TOKEN})
    assert (reply.status, reply.json["code"]) == (500, "internal")
    assert "request_failed" in caplog.text
    assert "KeyError" in caplog.text
    assert TOKEN not in caplog.text + reply.text
    monkeypatch.undo()
    await node.acquire("a")


# Keys

KEY = "a key of the cluster"
LOCKED = ["/v1/locks", "/v1/locks/a", "/v1/cluster", "/v1/acquire", "/%761/locks", "/v1/nothing"]


@pytest.mark.parametrize("path", LOCKED)
async def test_with_keys_every_path_under_v1_wants_one(path: str) -> None:
    async with serving(cluster(keys=("another", KEY))) as node:
        missing = await node.get(path)
        assert (missing.status, missing.json["code"]) == (401, "unauthenticated")
        wrong = await node.get(path, Authorization="Bearer guess")
        assert (wrong.status, wrong.json["code"]) == (403, "denied")
        assert "guess" not in wrong.text
        assert (await node.get(path, Authorization=f"Bearer {KEY}")).status in (200, 404, 405)


async def test_a_target_with_the_host_in_it_is_no_way_around_the_key() -> None:
    async with serving(cluster(keys=(KEY,))) as node:
        assert (await node.raw_get(b"http://node/v1/locks")).startswith(b"HTTP/1.1 401")


async def test_without_a_key_no_lock_is_taken() -> None:
    async with serving(cluster(keys=(KEY,))) as node:
        assert (await node.post("/v1/acquire", {"name": "a"})).status == 401
        assert node.table.lease_count == 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
async def test_health_and_welcome_are_open_to_all(path: str) -> None:
    async with serving(cluster(keys=(KEY,))) as node:
        assert (await node.get(path)).status == 200


async def test_modes_and_spaces_have_the_names_the_api_uses() -> None:
    assert [mode.name.lower() for mode in Mode] == ["exclusive", "shared"]
    assert [space.name.lower() for space in Space] == ["quorum", "efficiency", "node"]
