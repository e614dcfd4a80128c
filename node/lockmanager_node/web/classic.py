"""The classic API, as clients of the original LockManager know it, in the node's own space.

First form, plain text: `GET /getLock/{name}` gives a token or `false` (`?ttl=` seconds, 30 if not said),
`GET /releaseLock/{name}/{token}` gives `released`, or `false` when the token does not hold that name.
Later form, JSON: `GET /getlock?lockname=&auth=&timeout=&lifetime=`, `DELETE /releaselock?lockname=&token=&auth=`,
`GET /status?auth=`, with errors as {"servername", "error"}. `/status` lists what is held in every space of the node,
because an operator who asks what is locked means all of it; it never shows a token.

Where a classic key is configured both forms want it as `auth`; where only API keys are, both want a bearer header.
The original's clients take any text but `false` for a token and do not look at the status, so in the first form
whatever passes (503, 429, 500) is `false`: they ask again. Only mistakes of the caller (400, 401, 403) are sentences.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from lockmanager.wire import Acquire, Granted, Mode, Refused, Rejected, Space, Token

from ..access import Outcome
from ..limits import check_name
from . import checks, holding, listing, problems, targets
from .context import NodeContext
from .problems import Problem

DEFAULT_TTL: Final = 30.0
"""Seconds a classic lease lasts when the client does not say."""

_LABEL: Final = "classic"
_LATER: Final = frozenset({429, 500, 503})

_Answer = Callable[[web.Request], Awaitable[web.Response]]
_Failure = Callable[[Problem], web.Response]


def routes(context: NodeContext) -> list[web.RouteDef]:
    """Return the routes of both forms, or the welcome alone where the classic API is switched off."""
    first, later = _FirstForm(context), _LaterForm(context)
    welcome = web.get("/", first.welcome, allow_head=False)
    if not context.cluster.classic.enabled:
        return [welcome]
    return [
        welcome,
        web.get("/getLock/{name:(?s:.*)}", _told(first.get_lock, first.failure), allow_head=False),
        web.get("/releaseLock/{rest:(?s:.*)}", _told(first.release_lock, first.failure), allow_head=False),
        web.get("/getlock", _told(later.get_lock, later.failure), allow_head=False),
        web.delete("/releaselock", _told(later.release_lock, later.failure)),
        web.get("/status", _told(later.status, later.failure), allow_head=False),
    ]


def _told(answer: _Answer, failure: _Failure) -> _Answer:
    """Let failures be answered in the form's own way."""

    async def handler(request: web.Request) -> web.Response:
        try:
            return await answer(request)
        except Problem as problem:
            return failure(problem)
        except Exception as error:  # noqa: BLE001 - any fault is logged and answered; a client must not take it for a token
            return failure(problems.unexpected(request, error))

    return handler


class _FirstForm:
    """Plain text: a token, `released` or `false`."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    async def welcome(self, _: web.Request) -> web.Response:
        return web.Response(
            text=f"LockManager node {self._context.node_id}\n\n"
            "GET /getLock/{name}              a token, or false while somebody else holds the lock\n"
            "GET /releaseLock/{name}/{token}  released, or false\n"
        )

    async def get_lock(self, request: web.Request) -> web.Response:
        query = targets.query(request)
        _authorise(self._context, request, query)
        name = _checked_name(self._context, targets.decode(targets.tail(request, 1), "name"))
        ttl = targets.number(query["ttl"], "ttl") if "ttl" in query else DEFAULT_TTL
        token = await _acquire(self._context, request, name, checks.ttl(ttl, self._context.service.table.limits), 0)
        return web.Response(text=token or "false")

    async def release_lock(self, request: web.Request) -> web.Response:
        _authorise(self._context, request, targets.query(request))
        raw_name, _, raw_token = targets.tail(request, 1).rpartition("/")
        name = _checked_name(self._context, targets.decode(raw_name, "name"))
        released = _release(self._context, name, targets.decode(raw_token, "token"))
        return web.Response(text="released" if released else "false")

    @staticmethod
    def failure(problem: Problem) -> web.Response:
        text = "false" if problem.status in _LATER else problem.detail
        return web.Response(status=problem.status, text=text, headers=problem.headers)


class _LaterForm:
    """JSON that names the server."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    async def get_lock(self, request: web.Request) -> web.Response:
        query = targets.query(request)
        _authorise(self._context, request, query)
        name = _checked_name(self._context, _parameter(query, "lockname"), "lockname")
        wait = checks.wait(targets.number(query.get("timeout", "0"), "timeout"), "timeout")
        lifetime = targets.number(query["lifetime"], "lifetime") if "lifetime" in query else DEFAULT_TTL
        ttl = checks.ttl(lifetime, self._context.service.table.limits, "lifetime")
        token = await _acquire(self._context, request, name, ttl, wait)
        return self._json({"lockname": name, "sessiontoken": token or "", "lockacquired": token is not None})

    async def release_lock(self, request: web.Request) -> web.Response:
        query = targets.query(request)
        _authorise(self._context, request, query)
        name = _checked_name(self._context, _parameter(query, "lockname"), "lockname")
        released = _release(self._context, name, _parameter(query, "token"))
        return self._json({"lockname": name, "lockreleased": released})

    async def status(self, request: web.Request) -> web.Response:
        _authorise(self._context, request, targets.query(request))
        service = self._context.service
        service.expire()
        locks = [{"lockname": name, "remaining": left} for name, left in listing.held(service.table, service.now())]
        unready = checks.unready(service)
        return self._json({"status": "ok" if unready is None else unready.code, "locks": locks})

    def failure(self, problem: Problem) -> web.Response:
        return self._json({"error": problem.detail}, status=problem.status, headers=problem.headers)

    def _json(
        self, members: dict[str, object], *, status: int = 200, headers: dict[str, str] | None = None
    ) -> web.Response:
        body = msgspec.json.encode({"servername": self._context.node_id} | members)
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _authorise(context: NodeContext, request: web.Request, query: dict[str, str]) -> None:
    """Raise Problem unless the client may use the classic API: its own key, or else an API key where there are any."""
    verdict = context.access.classic_allows(query.get("auth"))
    if verdict.outcome is Outcome.OPEN:
        problems.require_key(context, request)
    elif verdict.outcome is Outcome.MISSING:
        raise Problem(401, "unauthenticated", "auth is missing: this node wants its classic key in ?auth=")
    elif not verdict.allowed:
        raise Problem(401, "denied", "auth is wrong")


def _parameter(query: dict[str, str], field: str) -> str:
    if field not in query:
        raise problems.bad_field(field, f"{field} is missing from the query")
    return query[field]


def _checked_name(context: NodeContext, name: str, field: str = "name") -> str:
    excess = check_name(name, context.service.table.limits)
    if excess is not None:
        raise problems.bad_field(field, excess.detail)
    return name


async def _acquire(context: NodeContext, request: web.Request, name: str, ttl: int, wait: float) -> Token | None:
    """Return the token of a new lease, or None when the lock is held for longer than `wait` seconds."""
    checks.require_ready(context.service)
    token, ticket = context.new_token(), context.service.next_ticket()
    wanted = Acquire(token, Space.NODE, name, ticket, ttl, Mode.EXCLUSIVE, wait > 0, _LABEL)
    match await holding.acquire(context, request, wanted, wait):
        case Granted():
            return token
        case Rejected() as answer:
            raise checks.rejected(answer)
        case Refused():
            return None
        case answer:
            raise TypeError(f"an acquire was answered {type(answer).__name__}")


def _release(context: NodeContext, name: str, text: str) -> bool:
    """End the lease of this token on this name; says whether there was one."""
    checks.require_ready(context.service)
    context.service.expire()
    token = Token(text)
    if context.service.table.lease(token) is None or holding.owned_key(context, token) != (Space.NODE, name):
        return False
    holding.release(context, token)
    return True
