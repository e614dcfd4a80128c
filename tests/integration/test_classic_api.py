"""The classic API in both forms, as clients of the original use it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from lockmanager.topology import Classic, Cluster, NodeAddress
from lockmanager.wire import Space, State
from lockmanager_node.recovery import Readiness
from tests.support.node_server import NODE_ID, Node, cluster, eventually, serving

TOKEN = "T" * 32
FOREIGN = "f" * 32


# First form


async def test_get_lock_gives_a_token_as_plain_text_that_must_not_be_stored(node: Node) -> None:
    reply = await node.get("/getLock/printer")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.headers["Cache-Control"] == "no-store"
    assert len(reply.text) == 32
    assert reply.text.isalnum()
    assert node.stands(reply.text)


async def test_a_held_lock_is_false_until_it_is_released(node: Node) -> None:
    token = (await node.get("/getLock/printer")).text
    held = await node.get("/getLock/printer")
    assert (held.status, held.text) == (200, "false")
    released = await node.get(f"/releaseLock/printer/{token}")
    assert (released.status, released.text, released.headers["Cache-Control"]) == (200, "released", "no-store")
    assert released.headers["Content-Type"].startswith("text/plain")
    assert (await node.get("/getLock/printer")).text not in ("false", token)


async def test_release_is_false_unless_the_token_holds_that_name(node: Node) -> None:
    token = (await node.get("/getLock/printer")).text
    for target in (f"/releaseLock/scanner/{token}", f"/releaseLock/printer/{FOREIGN}", "/releaseLock/printer/x"):
        reply = await node.get(target)
        assert (reply.status, reply.text) == (200, "false")
    assert node.stands(token)
    assert (await node.get(f"/releaseLock/printer/{token}")).text == "released"
    assert (await node.get(f"/releaseLock/printer/{token}")).text == "false"


async def test_release_is_false_after_the_lease_has_ended(node: Node) -> None:
    token = (await node.get("/getLock/printer")).text
    node.clock.advance(30)
    assert (await node.get(f"/releaseLock/printer/{token}")).text == "false"


async def test_a_classic_lease_lasts_30_s_and_ttl_changes_that(node: Node) -> None:
    short = (await node.get("/getLock/short?ttl=0.5")).text
    usual = (await node.get("/getLock/usual")).text
    longer = (await node.get("/getLock/longer?ttl=31")).text
    node.clock.advance(0.5)
    assert not node.stands(short)
    node.clock.advance(29.4)
    assert node.stands(usual)
    node.clock.advance(0.1)
    assert not node.stands(usual)
    assert node.stands(longer)


async def test_classic_and_json_clients_exclude_each_other(node: Node) -> None:
    lease = await node.acquire("printer")
    assert (await node.get("/getLock/printer")).text == "false"
    await node.post("/v1/release", {"token": lease["token"]})
    await node.get("/getLock/printer")
    reply = await node.post("/v1/acquire", {"name": "printer"})
    assert [holder["label"] for holder in reply.json["held_by"]] == ["classic"]


async def test_head_takes_no_lock_and_releases_none(node: Node) -> None:
    assert (await node.ask("HEAD", "/getLock/printer")).status == 405
    token = (await node.get("/getLock/printer")).text
    assert (await node.ask("HEAD", f"/releaseLock/printer/{token}")).status == 405
    assert node.stands(token)


async def test_a_lock_of_another_space_cannot_be_released(node: Node) -> None:
    node.hold(Space.QUORUM, "printer", TOKEN)
    assert (await node.get(f"/releaseLock/printer/{TOKEN}")).text == "false"
    assert (await node.ask("DELETE", f"/releaselock?lockname=printer&token={TOKEN}")).json["lockreleased"] is False
    assert node.stands(TOKEN)


async def test_a_token_that_only_waits_releases_nothing(node: Node) -> None:
    await node.get("/getLock/printer")
    async with node.long_poll("/v1/acquire", {"name": "printer", "wait": 60, "token": TOKEN}):
        assert (await node.get(f"/releaseLock/printer/{TOKEN}")).text == "false"
        assert node.table.waiter_count == 1


@pytest.mark.parametrize("name", [".", "..", "a/../b", "/", "a b", "a+b", "100%", "?", "{x}", "日本", "é" * 127 + "x"])
@pytest.mark.parametrize("safe", ["", "/"])
async def test_any_name_can_be_locked_and_released(node: Node, name: str, safe: str) -> None:
    encoded = quote(name, safe=safe)
    token = (await node.get(f"/getLock/{encoded}")).text
    assert (Space.NODE, name) in node.table.locks
    assert (await node.get(f"/releaseLock/{encoded}/{token}")).text == "released"


async def test_dots_in_a_raw_path_are_part_of_the_name(node: Node) -> None:
    assert b" 200 " in await node.raw_get(b"/getLock/../etc/.")
    assert (Space.NODE, "../etc/.") in node.table.locks


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/getLock/", "lock name"),
        ("/getLock/" + "x" * 256, "lock name"),
        ("/getLock/%ff", "UTF-8"),
        ("/getLock/100%", "%25"),
        ("/releaseLock/%ff/" + TOKEN, "UTF-8"),
        ("/releaseLock//" + TOKEN, "lock name"),
        ("/getLock/a?ttl=0", "ttl"),
        ("/getLock/a?ttl=-1", "ttl"),
        ("/getLock/a?ttl=nan", "ttl"),
        ("/getLock/a?ttl=inf", "ttl"),
        ("/getLock/a?ttl=soon", "ttl"),
        ("/getLock/a?ttl=1_0", "ttl"),
        ("/getLock/a?ttl=", "ttl"),
        ("/getLock/a?ttl=2592001", "ttl"),
        ("/getLock/a?ttl=" + "9" * 400, "ttl"),
        ("/getLock/a?ttl=1&ttl=2", "ttl"),
    ],
)
async def test_bad_input_is_400_in_plain_words(node: Node, target: str, says: str) -> None:
    token = (await node.get("/getLock/held")).text
    reply = await node.get(target)
    assert reply.status == 400
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert says in reply.text
    assert node.stands(token)
    assert node.table.lease_count == 1


@pytest.mark.parametrize("code", ["recovering", "stopping"])
async def test_a_node_that_is_not_ready_is_never_mistaken_for_one_that_granted(node: Node, code: str) -> None:
    token = (await node.get("/getLock/held")).text
    if code == "recovering":
        node.service.readiness = Readiness(State.RECOVERING, "silent after a restart")
    else:
        node.service.stop()
    for target in ("/getLock/printer", f"/releaseLock/held/{token}"):
        reply = await node.get(target)
        assert (reply.status, reply.text, reply.headers["Retry-After"]) == (503, "false", "1")
    reply = await node.get("/getlock?lockname=printer")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert sorted(reply.json) == ["error", "servername"]
    assert (await node.get("/status")).json["status"] == code
    assert node.stands(token)


async def test_a_full_node_is_false_to_plain_clients() -> None:
    async with serving(cluster(leases=1)) as node:
        await node.get("/getLock/held")
        reply = await node.get("/getLock/printer")
        assert (reply.status, reply.text) == (429, "false")


async def test_the_welcome_is_plain_text_and_names_the_node(node: Node) -> None:
    reply = await node.get("/")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert NODE_ID in reply.text


async def test_a_classic_api_that_is_switched_off_takes_no_lock() -> None:
    described = Cluster(
        name="test", nodes=(NodeAddress(NODE_ID, "http://127.0.0.1:8001"),), classic=Classic(enabled=False)
    )
    async with serving(described) as node:
        for target in ("/getLock/a", "/getlock?lockname=a", "/status"):
            assert (await node.get(target)).status == 404
        assert (await node.get("/")).status == 200
        assert node.table.lease_count == 0


# Later form


async def test_the_later_form_answers_with_the_originals_keys(node: Node) -> None:
    first = (await node.get("/getlock?lockname=printer")).json
    assert node.stands(first["sessiontoken"])
    assert first == {
        "servername": NODE_ID,
        "lockname": "printer",
        "sessiontoken": first["sessiontoken"],
        "lockacquired": True,
    }
    second = await node.get("/getlock?lockname=printer")
    assert second.status == 200
    assert second.json == {"servername": NODE_ID, "lockname": "printer", "sessiontoken": "", "lockacquired": False}
    assert second.headers["Cache-Control"] == "no-store"
    target = f"/releaselock?lockname=printer&token={first['sessiontoken']}"
    for released in (True, False):
        reply = await node.ask("DELETE", target)
        assert (reply.status, reply.json) == (
            200,
            {"servername": NODE_ID, "lockname": "printer", "lockreleased": released},
        )


async def test_releasing_under_another_name_is_false_and_loses_nothing(node: Node) -> None:
    token = (await node.get("/getlock?lockname=printer")).json["sessiontoken"]
    reply = await node.ask("DELETE", f"/releaselock?lockname=scanner&token={token}")
    assert reply.json["lockreleased"] is False
    assert node.stands(token)


async def test_a_lifetime_is_30_s_unless_given_and_two_weeks_work(node: Node) -> None:
    usual = (await node.get("/getlock?lockname=usual")).json["sessiontoken"]
    weeks = (await node.get("/getlock?lockname=weeks&lifetime=1209600")).json["sessiontoken"]
    node.clock.advance(30)
    assert not node.stands(usual)
    node.clock.advance(1_209_569)
    assert node.stands(weeks)
    node.clock.advance(1)
    assert not node.stands(weeks)


async def test_timeout_waits_for_the_lock(node: Node) -> None:
    first = (await node.get("/getlock?lockname=printer")).json["sessiontoken"]
    waiting = asyncio.create_task(node.get("/getlock?lockname=printer&timeout=60"))
    await eventually(lambda: node.table.waiter_count == 1)
    await node.ask("DELETE", f"/releaselock?lockname=printer&token={first}")
    assert (await waiting).json["lockacquired"] is True


async def test_a_timeout_that_runs_out_is_false_and_leaves_the_line(node: Node) -> None:
    await node.get("/getlock?lockname=printer")
    assert (await node.get("/getlock?lockname=printer&timeout=0.01")).json["lockacquired"] is False
    assert node.table.waiter_count == 0


async def test_status_lists_every_lock_of_the_node_without_tokens(node: Node) -> None:
    token = (await node.get("/getlock?lockname=printer&lifetime=60")).json["sessiontoken"]
    node.hold(Space.QUORUM, "orders", TOKEN, ttl=10)
    await node.acquire("readers", ttl=5, mode="shared")
    await node.acquire("readers", ttl=20, mode="shared")
    node.clock.advance(4)
    reply = await node.get("/status")
    assert reply.json == {
        "servername": NODE_ID,
        "status": "ok",
        "locks": [
            {"lockname": "orders", "remaining": 6.0},
            {"lockname": "printer", "remaining": 56.0},
            {"lockname": "readers", "remaining": 16.0},
        ],
    }
    assert token not in reply.text
    assert TOKEN not in reply.text


async def test_status_shows_no_lease_past_its_end(node: Node) -> None:
    await node.get("/getlock?lockname=printer")
    node.clock.advance(30)
    assert (await node.get("/status")).json["locks"] == []


@pytest.mark.parametrize(
    ("method", "target", "says"),
    [
        ("GET", "/getlock", "lockname"),
        ("GET", "/getlock?lockname=", "lock name"),
        ("GET", "/getlock?lockname=%ff", "lockname"),
        ("GET", "/getlock?lockname=" + "x" * 256, "lock name"),
        ("GET", "/getlock?lockname=a&lifetime=0", "lifetime"),
        ("GET", "/getlock?lockname=a&lifetime=nan", "lifetime"),
        ("GET", "/getlock?lockname=a&lifetime=2592001", "lifetime"),
        ("GET", "/getlock?lockname=a&timeout=-1", "timeout"),
        ("GET", "/getlock?lockname=a&timeout=3601", "timeout"),
        ("GET", "/getlock?lockname=a&timeout=long", "timeout"),
        ("DELETE", "/releaselock?token=" + TOKEN, "lockname"),
        ("DELETE", "/releaselock?lockname=a", "token"),
    ],
)
async def test_bad_input_of_the_later_form_is_400_with_an_error(
    node: Node, method: str, target: str, says: str
) -> None:
    token = (await node.get("/getlock?lockname=held")).json["sessiontoken"]
    reply = await node.ask(method, target)
    assert reply.status == 400
    assert reply.json == {"servername": NODE_ID, "error": reply.json["error"]}
    assert says in reply.json["error"]
    assert node.stands(token)
    assert node.table.lease_count == 1
