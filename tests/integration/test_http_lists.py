"""What a node shows of its locks over HTTP: pages, names of every kind, and never a token."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from lockmanager.wire import Space, Token, token_hash
from tests.support.node_server import Node, eventually

TOKEN = "T" * 32


async def test_the_list_shows_holders_waiters_and_fences_but_no_token(node: Node) -> None:
    lease = await node.acquire("a", ttl=10, label="report")
    waiting = asyncio.create_task(node.acquire("a", wait=60))
    await eventually(lambda: node.table.waiter_count == 1)
    node.clock.advance(4)
    reply = await node.get("/v1/locks")
    holder = {
        "label": "report",
        "token_hash": token_hash(Token(lease["token"])),
        "mode": "exclusive",
        "fence": lease["fence"],
        "remaining": 6.0,
    }
    item = {"name": "a", "space": "node", "mode": "exclusive", "holders": [holder], "waiting": 1}
    assert reply.json == {"locks": [item | {"last_fence": lease["fence"]}], "next": None}
    assert lease["token"] not in reply.text
    await node.post("/v1/release", {"token": lease["token"]})
    await waiting


async def test_overdue_and_idle_locks_are_not_listed(node: Node) -> None:
    await node.acquire("a", ttl=10)
    node.clock.advance(10)
    assert (await node.get("/v1/locks")).json["locks"] == []


async def test_an_overdue_lock_is_shown_as_free(node: Node) -> None:
    await node.acquire("a", ttl=10)
    node.clock.advance(10)
    assert (await node.get("/v1/locks/a")).json["free"] is True


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_lose_nothing_and_repeat_nothing_over_names_in_several_spaces(node: Node, limit: int) -> None:
    expected = []
    for number, name in enumerate(["a", "a/b", "ä", "日本", "\U0001f512"]):
        for space in Space:
            node.hold(space, name, f"{number}{space.value}".rjust(32, "0"))
            expected.append((name, space.name.lower()))
    seen: list[tuple[str, str]] = []
    after = ""
    while after is not None and len(seen) <= len(expected):
        page = (await node.get(f"/v1/locks?limit={limit}&after={after}")).json
        assert len(page["locks"]) <= limit
        seen += [(item["name"], item["space"]) for item in page["locks"]]
        after = page["next"]
    assert seen == expected


async def test_a_page_that_just_fits_is_the_last(node: Node) -> None:
    await node.acquire("a")
    await node.acquire("b")
    page = (await node.get("/v1/locks?limit=2")).json
    assert ([item["name"] for item in page["locks"]], page["next"]) == (["a", "b"], None)


async def test_paging_goes_on_when_the_lock_at_the_cursor_is_gone(node: Node) -> None:
    first = await node.acquire("a")
    await node.acquire("b")
    after = (await node.get("/v1/locks?limit=1")).json["next"]
    await node.post("/v1/release", {"token": first["token"]})
    assert [item["name"] for item in (await node.get(f"/v1/locks?after={after}")).json["locks"]] == ["b"]


async def test_the_list_can_be_narrowed_by_prefix_and_space(node: Node) -> None:
    await node.acquire("é/1")
    await node.acquire("e/1")
    node.hold(Space.QUORUM, "é/2", TOKEN)
    names = [item["name"] for item in (await node.get("/v1/locks?prefix=%C3%A9%2F")).json["locks"]]
    assert names == ["é/1", "é/2"]
    items = (await node.get("/v1/locks?prefix=%C3%A9%2F&space=quorum")).json["locks"]
    assert [(item["name"], item["space"]) for item in items] == [("é/2", "quorum")]


async def test_a_plus_in_a_query_is_a_space_and_one_in_a_path_is_not(node: Node) -> None:
    await node.acquire("a b")
    await node.acquire("a+b")
    assert [item["name"] for item in (await node.get("/v1/locks?prefix=a+b")).json["locks"]] == ["a b"]
    assert (await node.get("/v1/locks/a+b")).json["locks"][0]["name"] == "a+b"


async def test_a_free_name_is_no_error_and_says_so(node: Node) -> None:
    reply = await node.get("/v1/locks/nobody")
    assert (reply.status, reply.json) == (200, {"name": "nobody", "free": True, "locks": []})


async def test_one_name_is_shown_in_every_space_it_is_held_in(node: Node) -> None:
    await node.acquire("a")
    node.hold(Space.QUORUM, "a", TOKEN)
    reply = (await node.get("/v1/locks/a")).json
    assert (reply["name"], reply["free"]) == ("a", False)
    assert [item["space"] for item in reply["locks"]] == ["quorum", "node"]


@pytest.mark.parametrize(
    "name",
    [".", "..", "a/../b", "/", "//x", "a b", "a+b", "100%", "%2F", "?", "#", "{x}", "a\nb", "日本", "é" * 127 + "x"],
)
async def test_any_name_can_be_locked_and_shown(node: Node, name: str) -> None:
    lease = await node.acquire(name)
    encoded = quote(name, safe="").replace(".", "%2E")
    for target in (encoded, quote(name, safe="/")):
        reply = (await node.get(f"/v1/locks/{target}")).json
        assert (reply["name"], reply["free"]) == (name, False)
        assert reply["locks"][0]["last_fence"] == lease["fence"]


async def test_dots_and_slashes_in_a_raw_path_are_part_of_the_name(node: Node) -> None:
    await node.acquire(".././/a/..")
    answer = await node.raw_get(b"/v1/locks/.././/a/..")
    assert b" 200 " in answer
    assert b'"free":false' in answer
