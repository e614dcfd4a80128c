"""Bad input over HTTP: each gets a clear error that names the field, the node goes on, and no lease is lost."""

from __future__ import annotations

import gzip

import pytest

from tests.support.node_server import Node, cluster, serving

TOKEN = "T" * 32
FOREIGN = "f" * 32


async def refused(node: Node, path: str, body: object) -> dict[str, object]:
    """Send a bad body while a lease stands, and return the problem it is answered with."""
    await node.acquire("held", token=TOKEN)
    reply = await node.post(path, body)
    assert reply.headers["Content-Type"] == "application/problem+json"
    await unharmed(node)
    assert reply.status == reply.json["status"]
    problem: dict[str, object] = reply.json
    return problem


async def unharmed(node: Node) -> None:
    """Check that the one lease stands, that nothing else does, and that the node goes on serving."""
    assert node.stands(TOKEN)
    assert (node.table.lease_count, node.table.waiter_count) == (1, 0)
    other = await node.acquire("another")
    assert (await node.post("/v1/release", {"token": other["token"]})).status == 200


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"name": ""}, "name", "name"),
        ({"name": "x" * 256}, "name", "name"),
        ({"name": "é" * 128}, "name", "name"),
        ({"name": 7}, "bad_request", "name"),
        ({}, "bad_request", "name"),
        ({"name": "a", "ttl": 0}, "ttl", "ttl"),
        ({"name": "a", "ttl": -1}, "ttl", "ttl"),
        ({"name": "a", "ttl": 0.05}, "ttl", "ttl"),
        ({"name": "a", "ttl": 2_592_001}, "ttl", "ttl"),
        ({"name": "a", "ttl": 1e308}, "ttl", "ttl"),
        ({"name": "a", "ttl": float("nan")}, "bad_request", "ttl"),
        ({"name": "a", "ttl": float("inf")}, "bad_request", "ttl"),
        (b'{"name": "a", "ttl": 1e999}', "bad_request", "ttl"),
        ({"name": "a", "ttl": "10"}, "bad_request", "ttl"),
        ({"name": "a", "ttl": True}, "bad_request", "ttl"),
        ({"name": "a", "wait": -0.1}, "wait", "wait"),
        ({"name": "a", "wait": 3601}, "wait", "wait"),
        ({"name": "a", "wait": None}, "bad_request", "wait"),
        ({"name": "a", "mode": "write"}, "bad_request", "mode"),
        ({"name": "a", "label": "x" * 129}, "label", "label"),
        ({"name": "a", "token": "short"}, "token", "token"),
        ({"name": "a", "token": "-" * 32}, "token", "token"),
        ({"name": "a", "token": TOKEN}, "token", "token"),
        ({"name": "a", "tll": 3}, "bad_request", "tll"),
    ],
)
async def test_a_bad_field_of_acquire_is_named(node: Node, body: object, code: str, field: str) -> None:
    problem = await refused(node, "/v1/acquire", body)
    assert (problem["status"], problem["code"], problem["field"]) == (400, code, field)
    assert field in str(problem["detail"])
    assert TOKEN not in str(problem)


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("/v1/renew", {"ttl": 10}, "bad_request", "token"),
        ("/v1/renew", {"token": TOKEN}, "bad_request", "ttl"),
        ("/v1/renew", {"token": TOKEN, "ttl": 0}, "ttl", "ttl"),
        ("/v1/renew", {"token": TOKEN, "ttl": 10, "name": ""}, "name", "name"),
        ("/v1/renew", {"token": "short", "ttl": 10}, "token", "token"),
        ("/v1/release", {"token": "short"}, "token", "token"),
        ("/v1/release", {"token": TOKEN, "name": "x" * 256}, "name", "name"),
        ("/v1/release", {"token": TOKEN, "space": "node"}, "bad_request", "space"),
        ("/v1/revoke", {"name": ""}, "name", "name"),
        ("/v1/revoke", {"name": "held", "space": "all"}, "bad_request", "space"),
        ("/v1/revoke", {"name": "held", "force": "yes"}, "bad_request", "force"),
    ],
)
async def test_a_bad_field_of_the_other_requests_is_named(
    node: Node, path: str, body: object, code: str, field: str
) -> None:
    problem = await refused(node, path, body)
    assert (problem["status"], problem["code"], problem["field"]) == (400, code, field)


@pytest.mark.parametrize("path", ["/v1/acquire", "/v1/renew", "/v1/release", "/v1/revoke"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "not JSON"),
        (b"name=a&ttl=3", "not JSON"),
        (b"{'name': 'a'}", "not JSON"),
        (b"[" * 200_000, "Expected `object`, got `array`"),
        (b'{"name": ' + b'{"a":' * 100_000, ""),
        (b"null", "Expected `object`, got `null`"),
        (b'{"name": "\xff"}', ""),
        (b'{"token": "\xed\xa0\x80"}', ""),
        (b'{"name": "\\ud800"}', ""),
    ],
)
async def test_a_body_that_is_not_such_an_object_is_refused(node: Node, path: str, body: bytes, says: str) -> None:
    problem = await refused(node, path, body)
    assert (problem["status"], problem["code"]) == (400, "bad_request")
    assert says in str(problem["detail"])


async def test_a_body_above_1_mib_is_refused_and_one_below_is_read(node: Node) -> None:
    problem = await refused(node, "/v1/acquire", b" " * (1 << 20) + b"{}")
    assert (problem["status"], problem["code"]) == (413, "too_large")
    assert (await node.post("/v1/acquire", b'{"name": "a"}' + b" " * 1_000_000)).status == 200


async def test_a_compressed_body_is_bounded_by_what_it_grows_to(node: Node) -> None:
    await node.acquire("held", token=TOKEN)
    bomb = gzip.compress(b" " * (64 << 20))
    reply = await node.ask("POST", "/v1/acquire", data=bomb, headers={"Content-Encoding": "gzip"})
    assert reply.status in (400, 413)
    await unharmed(node)


async def test_a_body_that_is_not_in_its_announced_encoding_is_refused(node: Node) -> None:
    await node.acquire("held", token=TOKEN)
    reply = await node.ask("POST", "/v1/acquire", data=b"{}", headers={"Content-Encoding": "gzip"})
    assert reply.status == 400
    await unharmed(node)


async def test_a_broken_chunk_is_refused(node: Node) -> None:
    await node.acquire("held", token=TOKEN)
    answer = await node.raw(
        b"POST /v1/acquire HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    )
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    await unharmed(node)


async def test_a_body_that_ends_early_is_no_request(node: Node) -> None:
    await node.acquire("held", token=TOKEN)
    await node.raw_partial(b'POST /v1/acquire HTTP/1.1\r\nHost: n\r\nContent-Length: 99\r\n\r\n{"name": "a"}')
    await unharmed(node)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/v1/locks/", "name"),
        ("/v1/locks/%ff", "name"),
        ("/v1/locks/%C3", "name"),
        ("/v1/locks/%ED%A0%80", "name"),
        ("/v1/locks/%zz", "name"),
        ("/v1/locks/100%", "name"),
        ("/v1/locks/" + "x" * 256, "name"),
        ("/v1/locks?prefix=%ff", "prefix"),
        ("/v1/locks?after=%ff", "after"),
        ("/v1/locks?after=nonsense", "after"),
        ("/v1/locks?after=OWE", "after"),
        ("/v1/locks?after=%C3%A9", "after"),
        ("/v1/locks?limit=0", "limit"),
        ("/v1/locks?limit=1001", "limit"),
        ("/v1/locks?limit=-1", "limit"),
        ("/v1/locks?limit=ten", "limit"),
        ("/v1/locks?limit=" + "9" * 5000, "limit"),
        ("/v1/locks?space=all", "space"),
        ("/v1/locks?space=", "space"),
        ("/v1/locks?limit=1&limit=2", "limit"),
        ("/v1/locks?prefx=a", "prefx"),
        ("/v1/locks/a?space=node", "space"),
    ],
)
async def test_a_bad_path_or_query_is_refused_and_names_the_field(node: Node, target: str, field: str) -> None:
    await node.acquire("held", token=TOKEN)
    reply = await node.get(target)
    assert (reply.status, reply.json["field"]) == (400, field), reply.text
    assert field in reply.json["detail"] or field == "name"
    await unharmed(node)


@pytest.mark.parametrize(
    "target", [b"/v1/locks/\xff", b"/v1/locks?prefix=\xff", b"/getLock/\xff", b"/getlock?lockname=\xff"]
)
async def test_bytes_that_are_not_utf_8_in_a_target_are_refused(node: Node, target: bytes) -> None:
    await node.acquire("held", token=TOKEN)
    answer = await node.raw_get(target)
    assert answer.split(b"\r\n", 1)[0] in (b"HTTP/1.1 400 Bad Request", b"HTTP/1.0 400 Bad Request")
    assert b"url" in answer or b"UTF-8" in answer
    await unharmed(node)


async def test_a_foreign_token_renews_nothing_and_releases_nothing(node: Node) -> None:
    problem = await refused(node, "/v1/renew", {"token": FOREIGN, "ttl": 10})
    assert (problem["status"], problem["code"]) == (410, "lost")
    assert (await node.post("/v1/release", {"token": FOREIGN, "name": "held"})).json == {"released": True}
    await unharmed(node)


async def test_a_full_node_says_429_and_when_to_ask_again() -> None:
    async with serving(cluster(leases=1)) as node:
        await node.acquire("held", token=TOKEN)
        reply = await node.post("/v1/acquire", {"name": "a"})
        assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (429, "leases", "1")
        assert node.stands(TOKEN)


async def test_a_full_line_says_429() -> None:
    async with serving(cluster(waiters=1)) as node:
        await node.acquire("held", token=TOKEN)
        async with node.long_poll("/v1/acquire", {"name": "held", "wait": 60}):
            reply = await node.post("/v1/acquire", {"name": "held", "wait": 60})
            assert (reply.status, reply.json["code"]) == (429, "waiters")
        assert node.stands(TOKEN)


async def test_a_line_that_is_not_http_is_answered_400_and_hurts_nobody(node: Node) -> None:
    await node.acquire("held", token=TOKEN)
    assert b" 400 " in (await node.raw(b"\x93\x01\x02 nonsense\r\n\r\n")).split(b"\r\n", 1)[0]
    await unharmed(node)
