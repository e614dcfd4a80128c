"""Reading the cluster from a node or a file, against a real server on loopback that counts its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp_client_cache.response
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lockmanager.discovery import ClusterDocuments, LastGood, load_document, read_cluster_file
from lockmanager.errors import AccessDenied, ConfigurationError
from lockmanager.topology import Cluster, NodeAddress, document

CLUSTER = Cluster(name="shop", nodes=(NodeAddress("a", "http://h:1"), NodeAddress("b", "http://h:2")), replicas=1)
YEAR_LATER = datetime(2999, 1, 1)
KEY = "swordfish"


class FakeNode:
    """A node that only answers for its cluster document, as the test tells it to."""

    def __init__(self) -> None:
        self.cluster = CLUSTER
        self.cache_control: str | None = "max-age=60"
        self.status = 200
        self.body: bytes | None = None
        self.hang = False
        self.key: str | None = None
        self.requests = 0
        self.authorizations: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.authorizations.append(request.headers.get("Authorization"))
        if self.hang:
            await asyncio.Event().wait()
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.Response(status=401)
        response = web.Response(status=self.status, body=self.body) if self.body else self._document()
        if self.cache_control is not None:
            response.headers["Cache-Control"] = self.cache_control
        return response

    def _document(self) -> web.Response:
        return web.json_response(
            document(self.cluster), status=self.status, headers={"ETag": '"1"', "Location": "/moved"}
        )


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
async def server(node: FakeNode) -> AsyncIterator[TestServer]:
    application = web.Application()
    application.router.add_get("/v1/cluster", node.answer)
    application.router.add_get("/moved", FakeNode().answer)
    server = TestServer(application)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
def url(server: TestServer) -> str:
    return str(server.make_url("/"))


@pytest.fixture
async def documents() -> AsyncIterator[ClusterDocuments]:
    async with ClusterDocuments(last_good=LastGood()) as documents:
        yield documents


async def test_the_cluster_is_read_from_a_node(documents: ClusterDocuments, url: str) -> None:
    assert await documents.load(url) == CLUSTER


async def test_a_url_without_a_slash_at_the_end_means_the_same(documents: ClusterDocuments, url: str) -> None:
    assert await documents.load(url.rstrip("/")) == CLUSTER


async def test_a_document_is_not_asked_for_again_within_its_max_age(
    documents: ClusterDocuments, url: str, node: FakeNode
) -> None:
    assert await documents.load(url) == await documents.load(url) == CLUSTER
    assert node.requests == 1


async def test_a_document_is_asked_for_again_when_its_max_age_is_over(
    documents: ClusterDocuments, url: str, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await documents.load(url)
    node.cluster = Cluster(name="shop", nodes=CLUSTER.nodes, epoch=2)
    monkeypatch.setattr(aiohttp_client_cache.response, "utcnow", lambda: YEAR_LATER)
    assert (await documents.load(url)).epoch == 2
    assert node.requests == 2


@pytest.mark.parametrize(
    "control",
    [
        None,
        "",
        "no-store",
        "max-age=0",
        "no-store, max-age=60",
        "max-age=60, no-cache",
        "No-Cache, max-age=60",
        "s-maxage=60",
        "x-max-age=60",
        "Max-Age=60",
        "max-age",
        "max-age=x",
        'max-age="60"',
        "max-age=99999999999999999999",
        "public",
    ],
)
async def test_a_document_that_does_not_say_how_long_it_lasts_is_read_each_time(
    documents: ClusterDocuments, url: str, node: FakeNode, control: str | None
) -> None:
    node.cache_control = control
    await documents.load(url)
    await documents.load(url)
    assert node.requests == 2


@pytest.mark.parametrize("control", ["public, max-age=60", "max-age=60,private", " max-age=60 "])
async def test_other_directives_beside_max_age_do_not_matter(
    documents: ClusterDocuments, url: str, node: FakeNode, control: str
) -> None:
    node.cache_control = control
    await documents.load(url)
    await documents.load(url)
    assert node.requests == 1


async def test_the_last_good_document_serves_while_the_node_is_down(
    documents: ClusterDocuments, server: TestServer, url: str, node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.cache_control = "no-store"
    await documents.load(url)
    await server.close()
    with caplog.at_level(logging.WARNING):
        assert await documents.load(url) == CLUSTER
    assert f"cluster_document_stale url={url}v1/cluster" in caplog.text


async def test_the_last_good_document_serves_after_its_max_age_too(
    documents: ClusterDocuments, server: TestServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await documents.load(url)
    await server.close()
    monkeypatch.setattr(aiohttp_client_cache.response, "utcnow", lambda: YEAR_LATER)
    assert await documents.load(url) == CLUSTER
    assert await documents.load(url) == CLUSTER


async def test_the_last_good_document_outlives_the_session(server: TestServer, url: str) -> None:
    documents = ClusterDocuments(last_good=LastGood())
    await documents.load(url)
    await documents.close()
    await server.close()
    assert await documents.load(url) == CLUSTER
    await documents.close()


async def test_the_last_good_document_is_shared_by_the_process(server: TestServer, url: str) -> None:
    await load_document(url)
    await server.close()
    assert await load_document(url) == CLUSTER


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_the_last_good_document_serves_while_the_node_is_in_trouble(
    documents: ClusterDocuments, url: str, node: FakeNode, status: int
) -> None:
    node.cache_control = "no-store"
    await documents.load(url)
    node.status = status
    assert await documents.load(url) == CLUSTER
    assert node.requests == 2


async def test_the_last_good_document_serves_when_the_node_hangs(url: str, node: FakeNode) -> None:
    memory = LastGood()
    async with ClusterDocuments(last_good=memory) as patient:
        await patient.load(url)
    node.hang = True
    async with ClusterDocuments(timeout=0.05, last_good=memory) as hasty:
        assert await hasty.load(url) == CLUSTER
    assert node.requests == 2


async def test_a_node_that_comes_back_is_asked_again(documents: ClusterDocuments, url: str, node: FakeNode) -> None:
    await documents.load(url)
    node.cache_control, node.status = "no-store", 503
    await documents.close()
    await documents.load(url)
    node.status, node.cluster = 200, Cluster(name="shop", nodes=CLUSTER.nodes, epoch=2)
    assert (await documents.load(url)).epoch == 2


async def test_a_document_got_with_one_key_is_never_served_for_another(url: str, node: FakeNode) -> None:
    node.key, memory = KEY, LastGood()
    async with ClusterDocuments(api_key=KEY, last_good=memory) as owner:
        await owner.load(url)
        for other in ("guess", None):
            async with ClusterDocuments(api_key=other, last_good=memory) as stranger:
                with pytest.raises(AccessDenied):
                    await stranger.load(url)
                node.status, node.key = 503, None
                with pytest.raises(ConfigurationError, match="status 503"):
                    await stranger.load(url)
                node.status, node.key = 200, KEY
    assert node.authorizations == [f"Bearer {KEY}", "Bearer guess", "Bearer guess", None, None]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_access_denied_even_when_a_good_document_is_remembered(
    documents: ClusterDocuments, url: str, node: FakeNode, status: int
) -> None:
    node.cache_control = "no-store"
    await documents.load(url)
    node.status = status
    with pytest.raises(AccessDenied, match=f"v1/cluster denied access: status {status}"):
        await documents.load(url)


async def test_a_node_that_never_answered_is_a_configuration_error_naming_url_cause_and_way_out(
    documents: ClusterDocuments, server: TestServer, url: str
) -> None:
    await server.close()
    with pytest.raises(ConfigurationError, match=rf"from {url}v1/cluster: .*; check the URL and that the node runs"):
        await documents.load(url)


async def test_a_hanging_node_is_given_up_at_the_deadline(url: str, node: FakeNode) -> None:
    node.hang = True
    async with asyncio.timeout(2), ClusterDocuments(timeout=0.05, last_good=LastGood()) as documents:
        with pytest.raises(ConfigurationError, match=r"no answer within 0.05 s"):
            await documents.load(url)


@pytest.mark.parametrize("status", [204, 302, 404])
async def test_what_is_no_lock_node_is_a_configuration_error(
    documents: ClusterDocuments, url: str, node: FakeNode, status: int
) -> None:
    node.status = status
    with pytest.raises(ConfigurationError, match=f"answered with status {status}"):
        await documents.load(url)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"\xff", b'{"name": "\\ud800"}', b"[" * 100_000])
async def test_an_answer_that_is_no_document_is_a_configuration_error_and_not_kept(
    documents: ClusterDocuments, url: str, node: FakeNode, body: bytes
) -> None:
    node.body = body
    with pytest.raises(ConfigurationError, match="v1/cluster is not a cluster document: "):
        await documents.load(url)
    node.body = None
    assert await documents.load(url) == CLUSTER


@pytest.mark.parametrize(
    "bad", ["", "node1:8000", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://me:swordfish@h:1"]
)
async def test_a_url_that_cannot_be_a_nodes_is_refused_without_its_credentials(
    documents: ClusterDocuments, bad: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await documents.load(bad)
    assert KEY not in str(caught.value)
    assert "http://" in str(caught.value) or "api_key" in str(caught.value)


@pytest.mark.parametrize("bad", ["sword\nfish", "schlüssel"])
def test_a_key_no_header_can_carry_is_refused_and_not_shown(bad: str) -> None:
    with pytest.raises(ConfigurationError, match="API key has characters") as caught:
        ClusterDocuments(api_key=bad)
    assert bad not in str(caught.value)


def test_the_memory_of_good_documents_is_bounded() -> None:
    memory = LastGood(limit=2)
    for number in (1, 2, 1, 3):
        memory.remember(f"http://{number}", None, CLUSTER)
    assert [memory.get(f"http://{number}", None) for number in (1, 2, 3)] == [CLUSTER, None, CLUSTER]


def test_a_cluster_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("name: shop\nnodes: [{id: a, url: 'http://h:1'}, {id: b, url: 'http://h:2'}]\nreplicas: 1")
    assert read_cluster_file(path) == read_cluster_file(str(path)) == CLUSTER


def test_a_missing_cluster_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none.yaml: No such file or directory"):
        read_cluster_file(tmp_path / "none.yaml")


def test_a_directory_in_place_of_a_cluster_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"cannot read {tmp_path}: Is a directory"):
        read_cluster_file(tmp_path)


def test_a_cluster_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(ConfigurationError, match=r"cluster.yaml is not UTF-8 \(byte 6\)"):
        read_cluster_file(path)


def test_a_bad_cluster_file_is_named_with_the_field(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("name: shop\nnodes: []")
    with pytest.raises(ConfigurationError, match=r"cluster.yaml: nodes is empty; name at least one node"):
        read_cluster_file(path)
