"""What the nodes say over plain HTTP, all asked at once: ready or not, of which cluster, who holds what."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from ..topology import Cluster
from .target import Target, api_key

_DEADLINE: Final = 3.0
"""Seconds one request may take."""

_PAGE: Final = 1000


class Holder(msgspec.Struct, frozen=True):
    """A holder as one node sees it; `remaining` in seconds."""

    label: str
    token_hash: str
    mode: str
    fence: int
    remaining: float


class Lock(msgspec.Struct, frozen=True):
    """A lock as one node sees it."""

    name: str
    space: str
    holders: list[Holder]
    waiting: int


class _Page(msgspec.Struct, frozen=True):
    locks: list[Lock]
    next: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""


class _Document(msgspec.Struct, frozen=True):
    fingerprint: str


class _Refused(Exception):
    """The node answered with a problem."""

    def __init__(self, status: int, problem: _Problem) -> None:
        self.denied = status in (401, 403)
        super().__init__(problem.detail or problem.code or f"HTTP {status}")


@dataclass(slots=True)
class NodeView:
    """What one node said, or `cause`: why it did not. `same_cluster` is None while that is not known."""

    id: str
    url: str
    reachable: bool = False
    ready: bool = False
    denied: bool = False
    cause: str = ""
    same_cluster: bool | None = None
    complete: bool = False
    locks: list[Lock] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether the node grants locks of this very cluster; one that keeps its cluster from us is believed."""
        return self.ready and (self.same_cluster is True or self.denied)


async def ask_all(target: Target, *, prefix: str = "", pages: int | None = None) -> tuple[Cluster, list[NodeView]]:
    """Ask every node for its state and up to `pages` pages of locks; raises what finding the cluster raises."""
    cluster, network = await target.cluster(), target.chosen_network()
    views = [NodeView(node, cluster.url(node, network)) for node in cluster.node_ids]
    key = api_key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=_DEADLINE)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        await asyncio.gather(*(_Question(http, view, cluster).ask(prefix, pages) for view in views))
    return cluster, views


class _Question:
    """The conversation with one node."""

    def __init__(self, http: aiohttp.ClientSession, view: NodeView, cluster: Cluster) -> None:
        self._http = http
        self._view = view
        self._cluster = cluster

    async def ask(self, prefix: str, pages: int | None) -> None:
        view = self._view
        try:
            await self._ask_ready()
            document = msgspec.json.decode(await self._get("/v1/cluster"), type=_Document)
            view.same_cluster = document.fingerprint == self._cluster.fingerprint
            if view.same_cluster:
                await self._ask_locks(prefix, pages)
            else:
                view.cause = "it belongs to another cluster"
        except _Refused as error:
            view.denied, view.cause = error.denied, str(error)
        except TimeoutError:
            view.cause = f"no answer within {_DEADLINE:g} s"
        except msgspec.MsgspecError:
            view.cause = "it answers, but not as a lock node does"
        except (aiohttp.ClientError, OSError) as error:
            view.cause = _words(error)

    async def _ask_ready(self) -> None:
        try:
            await self._get("/readyz")
        except _Refused as error:
            self._view.cause = str(error)
        else:
            self._view.ready = True

    async def _ask_locks(self, prefix: str, pages: int | None) -> None:
        after: str | None = ""
        read = 0
        while after is not None and (pages is None or read < pages):
            query = {"prefix": prefix, "after": after, "limit": str(_PAGE)}
            page = msgspec.json.decode(await self._get("/v1/locks", query), type=_Page)
            self._view.locks += page.locks
            after, read = page.next, read + 1
        self._view.complete = after is None

    async def _get(self, path: str, query: dict[str, str] | None = None) -> bytes:
        async with self._http.get(f"{self._view.url}{path}", params=query, allow_redirects=False) as response:
            body = await response.read()
            self._view.reachable = True
            if response.status == 200:
                return body
            raise _Refused(response.status, _problem(body))


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Problem()


def _words(error: Exception) -> str:
    """Return why nothing was answered, in the system's own words."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
        return os.strerror(inner.errno).lower()
    return str(inner) or type(inner).__name__
