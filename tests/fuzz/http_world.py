"""A real node on loopback, asked byte for byte; it is as it was, and serves as ever, after whatever it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Container, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest
from aiohttp import web

from lockmanager.wire import Release, Space, Token
from lockmanager_node.web import session
from lockmanager_node.web.problems import Problem
from tests.support.node_server import Node, serving

from .loops import errors, hear, require_silence

CODES: Final = {
    400: {"bad_request", "name", "ttl", "wait", "label", "token", "limit", "after", "space", "node", "incarnation"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    408: {"timeout"},
    409: {"held", "waiting", "mismatch"},
    410: {"lost", "revoked"},
    413: {"too_large"},
    417: {"bad_request"},
}
"""What a node may answer to what is wrong, as `problems` lists it."""

_UNREADABLE: Final = (
    *("BadStatusLine", "BadHttpMessage", "BadHttpMethod", "InvalidURLError", "InvalidHeader", "LineTooLong"),
    *("ContentEncodingError", "TransferEncodingError", "RequestPayloadError"),
)
"""Why a request that is not HTTP is answered by the HTTP server itself; it logs that as an error."""

What = TypeVar("What")

DEADLINE: Final = 10.0
_PATIENCE: Final = 0.2


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def unreadable(self) -> bool:
        """Whether the HTTP server answered, and no handler: what was sent is not HTTP."""
        return (self.version, self.status, self.kind) == ("HTTP/1.0", 400, "text/plain; charset=utf-8")

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "")


class World:
    """One node for all examples of a property, on a clock that stands still."""

    def __init__(self, runner: asyncio.Runner, node: Node, heard: list[str]) -> None:
        self.node = node
        self._runner = runner
        self._heard = heard
        self._held = set(node.table._leases)

    def run(self, ask: Callable[[World, What], Coroutine[Any, Any, bool]], what: What) -> None:
        """Let somebody ask, who says whether something was given or taken; then all is as if nobody had asked.

        Nothing was logged as an error, what stood in the table stands there still, and others are served.
        """
        self._heard.clear()
        self._runner.run(self._let_ask(ask, what))
        self._heard[:] = [one for one in self._heard if not one.endswith(_UNREADABLE)]
        require_silence(self._heard)

    async def _let_ask(self, ask: Callable[[World, What], Coroutine[Any, Any, bool]], what: What) -> None:
        self._take_back(self._held)
        before = self._standing()
        if await ask(self, what):
            self._take_back(before)
        assert self._standing() == before, "what stands in the table is not what stood there before"
        await self._serves()

    def _standing(self) -> dict[Token, tuple[object, ...]]:
        table = self.node.table
        assert (table.waiter_count, self.node.service._recipients) == (0, {})
        return {token: (lease.waiter.key, lease.fence, lease.deadline) for token, lease in table._leases.items()}

    def _take_back(self, before: Container[Token]) -> None:
        """Release what was given, as whoever asked would in the end."""
        for token in list(self.node.table._leases):
            if token not in before:
                self.node.service.handle("whoever asked", Release(token))

    async def _serves(self) -> None:
        lease = await self.node.acquire("another", ttl=5)
        released = await self.node.post("/v1/release", {"token": lease["token"]})
        assert (released.status, released.json) == (200, {"released": True})

    async def ask(self, request: bytes, *, otherwise: bytes = b"") -> Reply:
        """Send bytes on a connection of their own, and return the first answer.

        When there is none for a while because the node waits for more, it gets what it waits for `otherwise`.
        """
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.node.port)
            later = asyncio.get_running_loop().call_later(_PATIENCE, writer.write, otherwise)
            try:
                writer.write(request)
                return await _reply(reader, bare=request.startswith(b"HEAD "))
            finally:
                later.cancel()
                writer.transport.abort()


async def _reply(reader: asyncio.StreamReader, *, bare: bool) -> Reply:
    """Read an answer; a bare one has no body, whatever its headers say."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    version, status, *_ = first.split()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if status == "100":
        return await _reply(reader, bare=bare)
    size = 0 if bare else int(headers.get("content-length", 0))
    return Reply(version, int(status), headers, await reader.readexactly(size))


def require_known(reply: Reply) -> None:
    """Fail unless the answer is a success, or a problem of the list with its code."""
    assert reply.status < 500, f"{reply.status}: {reply.body[:200]!r}"
    if reply.status >= 400:
        assert reply.kind == "application/problem+json", f"{reply.status} is {reply.kind}: {reply.body[:200]!r}"
        problem = json.loads(reply.body)
        assert problem["status"] == reply.status
        assert problem["code"] in CODES[reply.status], problem
        assert problem["detail"]
    assert reply.headers.get("cache-control") == "no-store", reply.headers


async def _hold(node: Node) -> None:
    """Let leases stand whose tokens nobody knows who asks nonsense."""
    for space in Space:
        node.hold(space, "held", f"{space.value}{'H' * 31}", ttl=86_400)


_EXPECTED: Final = (web.HTTPException, Problem, ConnectionError, TimeoutError)


def _fault_behind(error: BaseException | None) -> Exception | None:
    """Return what nobody expects, also from behind the cancellation of a handler whose client has left meanwhile."""
    while isinstance(error, asyncio.CancelledError):
        error = error.__context__
    return error if isinstance(error, Exception) and not isinstance(error, _EXPECTED) else None


@contextmanager
def _faults_of_sessions(heard: list[str]) -> Iterator[None]:
    """Hear what a session raises at its end, also behind the cancellation of its handler, which nobody would log."""
    whole = session._Connection.run

    async def run(self: session._Connection) -> web.WebSocketResponse:
        try:
            return await whole(self)
        except BaseException as error:
            if (fault := _fault_behind(error)) is not None:
                heard.append(f"a session raised {fault!r}")
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session._Connection, "run", run)
        yield


@contextmanager
def one_node() -> Iterator[World]:
    """Serve one node for all examples of a property."""
    with errors() as heard, _faults_of_sessions(heard), asyncio.Runner() as runner:
        hear(runner.get_loop(), heard)
        served = serving()
        node = runner.run(served.__aenter__())
        try:
            runner.run(_hold(node))
            yield World(runner, node, heard)
        finally:
            runner.run(served.__aexit__(None, None, None))
