"""Keys and secrets of the classic API: who may use it, and what never reaches a log."""

from __future__ import annotations

import logging
from urllib.parse import quote

import pytest

from lockmanager.wire import Space
from lockmanager_node.web.problems import connection_log, redact
from tests.support.node_server import Node, Reply, cluster, serving

TOKEN = "T" * 32
KEY = "the-classic-key"
API_KEY = "a key of the cluster"


LATER_FORM = [
    ("GET", "/getlock?lockname=a"),
    ("DELETE", f"/releaselock?lockname=a&token={TOKEN}"),
    ("GET", "/status?x="),
]
FIRST_FORM = [("GET", "/getLock/a?x="), ("GET", f"/releaseLock/a/{TOKEN}?x=")]


@pytest.mark.parametrize(("method", "target"), LATER_FORM + FIRST_FORM)
async def test_a_classic_key_is_wanted_by_every_classic_call(method: str, target: str) -> None:
    async with serving(cluster(classic_key=KEY)) as node:
        await node.acquire("a", token=TOKEN)
        for auth in ("", "&auth=", "&auth=guess", f"&auth={KEY}x"):
            reply = await node.ask(method, target + auth)
            assert reply.status == 401
            assert_error(reply, json=(method, target) in LATER_FORM)
        assert node.stands(TOKEN)
        assert (await node.ask(method, f"{target}&auth={KEY}")).status == 200


def assert_error(reply: Reply, *, json: bool) -> None:
    """Check that an error is in the words of its form and holds nothing secret."""
    if json:
        assert sorted(reply.json) == ["error", "servername"]
    else:
        assert reply.headers["Content-Type"].startswith("text/plain")
    assert "auth" in reply.text
    assert "guess" not in reply.text
    assert KEY not in reply.text


@pytest.mark.parametrize(("method", "target"), LATER_FORM + FIRST_FORM)
async def test_with_api_keys_alone_the_classic_api_is_no_way_around_them(method: str, target: str) -> None:
    async with serving(cluster(keys=(API_KEY,))) as node:
        node.hold(Space.NODE, "a", TOKEN)
        assert (await node.ask(method, target)).status == 401
        assert (await node.ask(method, f"{target}&auth={quote(API_KEY)}")).status == 401
        assert (await node.ask(method, target, headers={"Authorization": "Bearer guess"})).status == 403
        assert node.stands(TOKEN)
        assert (await node.ask(method, target, headers={"Authorization": f"Bearer {API_KEY}"})).status == 200


async def test_a_classic_key_is_enough_where_there_are_api_keys_too() -> None:
    async with serving(cluster(keys=(API_KEY,), classic_key=KEY)) as node:
        assert len((await node.get(f"/getLock/a?auth={KEY}")).text) == 32
        assert (await node.get("/getLock/b", Authorization=f"Bearer {API_KEY}")).status == 401


async def test_an_auth_that_nobody_asked_for_is_ignored(node: Node) -> None:
    assert (await node.get("/getlock?lockname=a&auth=anything")).json["lockacquired"] is True


# Secrets


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/releaseLock/a/{TOKEN}", "/releaseLock/a/***"),
        ("/releaseLock/a/short-token", "/releaseLock/a/***"),
        ("/release%4Cock/a/short-token", "/release%4Cock/a/***"),
        (f"/releaseLock/a/{TOKEN}/", "/releaseLock/a/***/***"),
        (f"/releaselock?lockname=a&token={TOKEN}&auth={KEY}", "/releaselock?lockname=a&token=***&auth=***"),
        (f"/getlock?AUTH={KEY}&lockname=a&lifetime=3", "/getlock?AUTH=***&lockname=a&lifetime=3"),
        (f"/getlock?au%74h={KEY}", "/getlock?au%74h=***"),
        (f"/nowhere/{TOKEN}/x?{TOKEN}", "/nowhere/***/x?***"),
        ("/v1/locks?prefix=a&limit=3", "/v1/locks?prefix=a&limit=3"),
    ],
)
def test_paths_are_shown_without_secrets(path: str, shown: str) -> None:
    assert redact(path) == shown


async def test_failing_classic_requests_leave_no_secret_in_any_log_or_problem(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(cluster(classic_key=KEY)) as node:
        monkeypatch.setattr(node.service, "expire", _fail)
        text = await node.get(f"/releaseLock/a/{TOKEN}?auth={KEY}")
        assert (text.status, text.text) == (500, "false")
        later = await node.ask("DELETE", f"/releaselock?lockname=a&token={TOKEN}&auth={KEY}")
        assert (later.status, sorted(later.json)) == (500, ["error", "servername"])
        lost = await node.get(f"/release/a/{TOKEN}?auth={KEY}")
        wrong = await node.ask("POST", f"/releaseLock/a/{TOKEN}?auth={KEY}")
        assert (lost.status, wrong.status) == (404, 405)
        monkeypatch.undo()
    assert caplog.text.count("request_failed") == 2
    for secret in (TOKEN, KEY):
        assert secret not in caplog.text + later.text + lost.text + wrong.text


def test_complaints_about_connections_do_not_quote_the_request(caplog: pytest.LogCaptureFixture) -> None:
    quoting = ValueError(f"GET /releaseLock/a/{TOKEN}")
    connection_log.error("Error handling request from %s", "127.0.0.1", exc_info=quoting)
    assert caplog.messages == ["Error handling request from 127.0.0.1: ValueError"]
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "target", [f"/releaseLock/\xff/{TOKEN}?auth={KEY}", f"/releaseLock/{'x' * 9000}/{TOKEN}?auth={KEY}"]
)
async def test_an_unreadable_request_line_is_not_logged(
    node: Node, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    assert b" 400 " in (await node.raw_get(target.encode("latin-1"))).split(b"\r\n", 1)[0]
    for secret in (TOKEN, KEY):
        assert secret not in caplog.text


def _fail(*_: object) -> None:
    raise KeyError(TOKEN, KEY)
