"""`GET /v1/recovery`: what a node tells its peers, to whom, and what it remembers of those who asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lockmanager.durations import microseconds
from lockmanager.wire import Mode, Raise, Renew, Space, Token, token_digest
from lockmanager_node.access import Access
from lockmanager_node.books import adoption
from lockmanager_node.records import Adoption
from lockmanager_node.web import recovery
from tests.support.node_group import Group, Member, group

TOKEN = "T" * 32
NAME = "orders/42"
BY_NODE2 = "node=node2&incarnation=7"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Group]:
    """A cluster of which no node runs yet."""
    async with group(tmp_path) as nodes:
        yield nodes


@pytest.fixture
async def node(nodes: Group) -> Member:
    """One node of three that serves, by its operator's word."""
    return await nodes.start("node1", new_cluster=True)


@pytest.fixture
async def silent(nodes: Group) -> Member:
    """One node of three, at the first start of its cluster: it has granted nothing and waits for its peers."""
    return await nodes.start("node1")


# The answer


async def test_a_node_that_never_granted_anything_says_so(nodes: Group) -> None:
    await nodes.start_all()
    reply = await nodes.members["node1"].tells()
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {
        "node": "node1",
        "incarnation": nodes.members["node1"].context.incarnation,
        "fingerprint": nodes.cluster.fingerprint,
        "recovering": False,
        "never": True,
        "fence": 0,
        "leases": [],
        "upto": 0,
        "after": None,
    }


async def test_a_lease_is_told_with_all_that_another_node_needs_to_keep_it(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN, ttl=20)
    lease = node.table.lease(Token(TOKEN))
    assert lease is not None
    report = await node.reports(BY_NODE2)
    assert not report.never
    assert report.fence == lease.fence
    assert report.leases == [
        Adoption(
            digest=token_digest(Token(TOKEN)),
            name=NAME,
            label="a session",
            ticket=lease.waiter.ticket,
            mode=Mode.EXCLUSIVE,
            fence=lease.fence,
            ttl=microseconds(20),
            revoked=False,
        )
    ]


async def test_the_longest_ttl_ever_promised_is_told_not_what_is_left(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN, ttl=20)
    node.service.handle("a session", Renew(Token(TOKEN), microseconds(600)))
    node.service.handle("a session", Renew(Token(TOKEN), microseconds(30)))
    node.clock.advance(500)
    (told,) = (await node.reports(BY_NODE2)).leases
    assert told.ttl == microseconds(600)


async def test_a_raised_fence_is_told(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN)
    higher = node.table.largest_fence + 1_000
    node.service.handle("a session", Raise(Token(TOKEN), higher))
    report = await node.reports(BY_NODE2)
    assert (report.fence, report.leases[0].fence) == (higher, higher)


async def test_a_shared_lease_is_told_as_one(node: Member) -> None:
    for token in (TOKEN, "U" * 32):
        node.hold_shared(NAME, token, ttl=10)
    assert [lease.mode for lease in (await node.reports(BY_NODE2)).leases] == [Mode.SHARED, Mode.SHARED]


async def test_a_revoked_lease_is_told_as_revoked(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN)
    assert (await node.post("/v1/revoke", {"name": NAME, "space": "quorum"})).json == {"revoked": 1}
    assert [lease.revoked for lease in (await node.reports(BY_NODE2)).leases] == [True]


async def test_an_expired_lease_is_not_told(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN, ttl=20)
    node.clock.advance(20)
    assert (await node.reports(BY_NODE2)).leases == []


async def test_a_node_that_granted_does_not_say_never_when_all_of_it_is_over(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN, ttl=20)
    node.clock.advance(3600)
    report = await node.reports(BY_NODE2)
    assert not report.never
    assert report.fence > 0


async def test_only_leases_of_quorum_locks_are_told(node: Member) -> None:
    node.hold(Space.EFFICIENCY, "cheap", "E" * 32)
    node.hold(Space.NODE, "own", "N" * 32)
    node.hold(Space.QUORUM, NAME, TOKEN)
    assert [lease.name for lease in (await node.reports(BY_NODE2)).leases] == [NAME]


async def test_no_token_is_told_only_its_digest(node: Member) -> None:
    node.hold(Space.QUORUM, NAME, TOKEN)
    text = (await node.tells(BY_NODE2)).text
    assert TOKEN not in text
    assert token_digest(Token(TOKEN)) in text


async def test_an_adopted_lease_is_told_onwards(nodes: Group) -> None:
    await nodes.start_all()
    nodes.members["node1"].hold(Space.QUORUM, NAME, TOKEN, ttl=600)
    expected = adoption_at(nodes.members["node1"])
    again = await nodes.replace("node2")
    nodes.end_of_silence()
    await again.becomes_ready()
    assert (await again.reports("node=node3&incarnation=7")).leases == [expected]


def adoption_at(member: Member) -> Adoption:
    lease = member.table.lease(Token(TOKEN))
    assert lease is not None
    return adoption(lease)


async def test_a_node_is_told_only_what_it_helps_to_decide(tmp_path: Path) -> None:
    async with group(tmp_path, 5, replicas=3) as nodes:
        node = await nodes.start("node1", new_cluster=True)
        names = [f"orders/{number}" for number in range(40)]
        for number, name in enumerate(names):
            node.hold(Space.QUORUM, name, f"{number:032}")
        decided_by_node2 = [name for name in names if "node2" in nodes.cluster.quorum_nodes(name)]
        assert 0 < len(decided_by_node2) < len(names)
        assert [lease.name for lease in (await node.reports(BY_NODE2)).leases] == decided_by_node2
        assert [lease.name for lease in (await node.reports()).leases] == names


# Pages


async def test_leases_are_told_in_pages(node: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAGE", 2)
    tokens = [f"{number:032}" for number in range(5)]
    for number, token in enumerate(tokens):
        node.hold(Space.QUORUM, f"orders/{number}", token)
    pages = [await node.reports(BY_NODE2)]
    while pages[-1].after is not None:
        pages.append(await node.reports(f"{BY_NODE2}&after={pages[-1].after}"))
    assert [len(page.leases) for page in pages] == [2, 2, 1]
    assert [lease.digest for page in pages for lease in page.leases] == [token_digest(Token(one)) for one in tokens]


async def test_a_full_last_page_is_the_last(node: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAGE", 2)
    for number in range(2):
        node.hold(Space.QUORUM, f"orders/{number}", f"{number:032}")
    assert (await node.reports(BY_NODE2)).after is None


async def test_a_lease_granted_while_pages_are_read_is_on_a_later_one(
    node: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PAGE", 1)
    for number in range(2):
        node.hold(Space.QUORUM, f"orders/{number}", f"{number:032}")
    first = await node.reports(BY_NODE2)
    node.hold(Space.QUORUM, NAME, TOKEN)
    second = await node.reports(f"{BY_NODE2}&after={first.after}")
    third = await node.reports(f"{BY_NODE2}&after={second.after}")
    assert [lease.name for lease in third.leases] == [NAME]


async def test_a_node_that_rejoins_reads_all_pages(nodes: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAGE", 3)
    await nodes.start_all()
    tokens = [f"{number:032}" for number in range(10)]
    for number, token in enumerate(tokens):
        nodes.members["node1"].hold(Space.QUORUM, f"orders/{number}", token, ttl=600)
    again = await nodes.replace("node2")
    nodes.end_of_silence()
    await again.becomes_ready()
    assert all(again.stands(token) for token in tokens)


# Who may ask, and how


async def test_an_answer_is_never_stored(node: Member) -> None:
    assert (await node.tells(BY_NODE2)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_only_get_is_answered(node: Member, method: str) -> None:
    assert (await node.ask(method, f"/v1/recovery?{BY_NODE2}")).status == 405
    assert node.context.past.is_unknown("node2")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("node=node4&incarnation=7", "node"),
        ("node=node1&incarnation=7", "node"),
        ("node=&incarnation=7", "node"),
        ("incarnation=7", "node"),
        ("node=node2", "incarnation"),
        ("node=node2&incarnation=", "incarnation"),
        ("node=node2&incarnation=-7", "incarnation"),
        ("node=node2&incarnation=seven", "incarnation"),
        ("node=node2&incarnation=7.5", "incarnation"),
        (f"node=node2&incarnation={'7' * 19}", "incarnation"),
        (f"{BY_NODE2}&after=x", "after"),
        (f"{BY_NODE2}&after=-1", "after"),
        ("after=", "after"),
        (f"{BY_NODE2}&page=2", "page"),
        ("node=node2&node=node3&incarnation=7", "node"),
        ("node=%ff&incarnation=7", "node"),
    ],
)
async def test_a_bad_question_is_refused_and_names_the_field(node: Member, query: str, field: str) -> None:
    reply = await node.tells(query)
    assert reply.status == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["field"] == field
    assert node.context.past.is_unknown("node2")


async def test_whoever_is_no_peer_is_told_who_is(node: Member) -> None:
    detail = (await node.tells("node=node1&incarnation=7")).json["detail"]
    assert "node2, node3" in detail


async def test_an_api_key_or_the_key_of_the_peers_opens_it_and_nothing_else_does(tmp_path: Path) -> None:
    async with group(tmp_path, keys=("first", "second")) as nodes:
        node = await nodes.start("node1", new_cluster=True)
        peer_key = Access(nodes.cluster).peer_key
        for key in ("first", "second", peer_key):
            assert (await node.tells(BY_NODE2, Authorization=f"Bearer {key}")).status == 200
        assert (await node.tells(BY_NODE2)).status == 401
        for wrong in ("third", "", nodes.cluster.api_keys[0].sha256):
            assert (await node.tells(BY_NODE2, Authorization=f"Bearer {wrong}")).status in (401, 403)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/cluster", None),
        ("GET", "/v1/locks", None),
        ("GET", "/v1/locks/orders", None),
        ("GET", "/v1/session", None),
        ("POST", "/v1/acquire", {"name": "orders"}),
        ("POST", "/v1/release", {"token": TOKEN}),
        ("POST", "/v1/renew", {"token": TOKEN}),
        ("POST", "/v1/revoke", {"name": "orders"}),
        ("GET", "/getLock/orders", None),
        ("GET", "/v1/recovery/", None),
        ("GET", "//v1/recovery", None),
        ("GET", "/v1/locks/../recovery", None),
    ],
)
async def test_the_key_of_the_peers_opens_nothing_else(tmp_path: Path, method: str, target: str, body: Any) -> None:
    async with group(tmp_path, keys=("first",)) as nodes:
        node = await nodes.start("node1", new_cluster=True)
        headers = {"Authorization": f"Bearer {Access(nodes.cluster).peer_key}"}
        data = None if body is None else json.dumps(body).encode()
        reply = await node.ask(method, target, headers=headers, data=data)
        assert reply.status in (403, 404)
        assert node.table.lease_count == 0


async def test_the_key_of_the_peers_follows_from_the_description_alone(tmp_path: Path) -> None:
    async with group(tmp_path, keys=("first", "second")) as nodes:
        assert Access(nodes.cluster).peer_key == Access(nodes.cluster).peer_key
    async with group(tmp_path, keys=("first", "second"), epoch=2) as later:
        assert Access(nodes.cluster).peer_key != Access(later.cluster).peer_key


# What is remembered


async def test_a_later_incarnation_of_the_same_node_learns_that_it_had_a_past(silent: Member) -> None:
    assert (await silent.reports("node=node2&incarnation=7")).never
    assert (await silent.reports("node=node2&incarnation=7")).never
    for _ in range(2):
        assert not (await silent.reports("node=node2&incarnation=8")).never
    assert (await silent.reports("node=node2&incarnation=7")).never
    assert (await silent.reports("node=node3&incarnation=8")).never


@pytest.mark.parametrize("abruptly", [True, False])
async def test_what_is_remembered_of_a_peer_survives_a_restart(nodes: Group, silent: Member, abruptly: bool) -> None:
    await silent.reports("node=node2&incarnation=7")
    again = await nodes.restart("node1", abruptly=abruptly)
    assert not (await again.reports("node=node2&incarnation=8")).never
    assert (await again.reports("node=node2&incarnation=7")).never


async def test_whoever_does_not_say_who_it_is_is_not_remembered(silent: Member) -> None:
    assert (await silent.reports()).never
    assert (await silent.reports("after=5")).never
    assert (await silent.reports("node=node2&incarnation=7")).never


async def test_a_silent_node_says_that_it_is_silent(silent: Member) -> None:
    report = await silent.reports("node=node2&incarnation=7")
    assert report.recovering
    assert report.never
