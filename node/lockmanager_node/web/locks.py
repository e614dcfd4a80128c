"""Locks over plain HTTP and JSON, in the node's own space: one node's promise, for any client.

`POST /v1/acquire` {"name", "ttl", "wait", "mode", "label", "token"} gives {"name", "token", "fence", "ttl", "mode"};
`POST /v1/renew` {"token", "ttl", "name"?} gives {"ttl"}; `POST /v1/release` {"token", "name"?} gives
{"released": true}, also for a token nobody knows; `POST /v1/revoke` {"name", "space", "force"} gives {"revoked": n}.
`GET /v1/locks` and `GET /v1/locks/{name}` show what is held or waited for, without tokens. Errors are in `problems`.

An acquire sent again with its token is answered with the same lease; `ttl` is then what is left of it.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from lockmanager.durations import seconds
from lockmanager.wire import (
    Acquire,
    Answer,
    Granted,
    Holder,
    Lost,
    Mode,
    Rejected,
    Renew,
    Renewed,
    Revoked,
    Space,
    Token,
)

from ..limits import check_label, check_name, check_token
from . import bodies, checks, holding, listing, targets
from .context import NodeContext
from .problems import Problem, bad_field

_DEFAULT_PAGE = 100
_LARGEST_PAGE = 1000


def routes(context: NodeContext) -> list[web.RouteDef]:
    """Return the routes of locks."""
    api = _Locks(context)
    return [
        web.post("/v1/acquire", api.acquire),
        web.post("/v1/renew", api.renew),
        web.post("/v1/release", api.release),
        web.post("/v1/revoke", api.revoke),
        web.get("/v1/locks", api.index, allow_head=False),
        web.get("/v1/locks/{name:(?s:.*)}", api.show, allow_head=False),
    ]


class _Locks:
    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._service = context.service
        self._table = context.service.table

    async def acquire(self, request: web.Request) -> web.Response:
        body = await bodies.read(request, bodies.AcquireBody)
        wait = checks.wait(body.wait)
        wanted = self._wanted(body, wait)
        checks.require_ready(self._service)
        answer = await holding.acquire(self._context, request, wanted, wait)
        if not isinstance(answer, Granted):
            raise self._not_acquired(body.name, answer)
        lease = {"name": body.name, "token": answer.token, "fence": answer.fence}
        return _json(lease | {"ttl": seconds(self._left(answer)), "mode": body.mode})

    def _wanted(self, body: bodies.AcquireBody, wait: float) -> Acquire:
        limits = self._table.limits
        checks.require(check_name(body.name, limits))
        checks.require(check_label(body.label, limits))
        ttl = checks.ttl(self._context.cluster.defaults.ttl if body.ttl is None else body.ttl, limits)
        token = self._context.new_token() if body.token is None else _token(body.token)
        mode = Mode[body.mode.upper()]
        ticket = self._service.next_ticket()
        return Acquire(token, Space.NODE, body.name, ticket, ttl, mode, wait > 0, body.label)

    def _left(self, granted: Granted) -> int:
        """Return what the client may count on: all of the ttl, or what is left of it when it asks again."""
        lease = self._table.lease(granted.token)
        if not granted.resent or lease is None:
            return granted.ttl
        return max(0, lease.deadline - self._service.now())

    def _not_acquired(self, name: str, answer: Answer) -> Problem:
        match answer:
            case Rejected():
                return checks.rejected(answer)
            case Revoked():
                return _revoked()
            case _:
                held_by = [_shown(holder) for holder in holding.holders(self._table, name)]
                return Problem(409, "held", f"{name!r} is held by somebody else", members={"held_by": held_by})

    async def renew(self, request: web.Request) -> web.Response:
        body = await bodies.read(request, bodies.RenewBody)
        token = _token(body.token)
        ttl = checks.ttl(body.ttl, self._table.limits)
        checks.require_ready(self._service)
        self._require_same_name(token, body.name)
        answer = await holding.renew(self._context, Renew(token, ttl)) if self._may_touch(token) else Lost(token)
        if isinstance(answer, Renewed):
            return _json({"ttl": seconds(answer.ttl)})
        raise _not_renewed(answer)

    async def release(self, request: web.Request) -> web.Response:
        body = await bodies.read(request, bodies.ReleaseBody)
        token = _token(body.token)
        checks.require_ready(self._service)
        self._require_same_name(token, body.name)
        holding.release(self._context, token)
        return _json({"released": True})

    def _require_same_name(self, token: Token, name: str | None) -> None:
        if name is None:
            return
        checks.require(check_name(name, self._table.limits))
        key = holding.owned_key(self._context, token)
        if key is not None and key[1] != name:
            raise Problem(409, "mismatch", f"this token stands for another lock than {name!r}; nothing was changed")

    def _may_touch(self, token: Token) -> bool:
        """Say whether the token is this space's, or one that is known to no space (lost, revoked)."""
        self._service.expire()
        key = self._table.key_of(token)
        return key is None or key[0] is Space.NODE

    async def revoke(self, request: web.Request) -> web.Response:
        body = await bodies.read(request, bodies.RevokeBody)
        checks.require(check_name(body.name, self._table.limits))
        checks.require_ready(self._service)
        count = await holding.revoke(self._context, (Space[body.space.upper()], body.name), force=body.force)
        return _json({"revoked": count})

    async def index(self, request: web.Request) -> web.Response:
        query = targets.strict_query(request, "prefix", "after", "limit", "space")
        limit, space = _page_size(query.get("limit")), _space(query.get("space"))
        self._service.expire()
        now, prefix, after = self._service.now(), query.get("prefix", ""), query.get("after", "")
        try:
            return _json(listing.page(self._table, now, prefix=prefix, after=after, space=space, limit=limit))
        except listing.BadCursor as error:
            raise bad_field("after", str(error)) from None

    async def show(self, request: web.Request) -> web.Response:
        targets.strict_query(request)
        name = targets.decode(targets.tail(request, 2), "name")
        checks.require(check_name(name, self._table.limits))
        self._service.expire()
        items = listing.named(self._table, self._service.now(), name)
        return _json({"name": name, "free": not items, "locks": items})


def _token(text: str) -> Token:
    checks.require(check_token(text))
    return Token(text)


def _page_size(text: str | None) -> int:
    size = _DEFAULT_PAGE if text is None else targets.whole(text, "limit")
    if 1 <= size <= _LARGEST_PAGE:
        return size
    raise bad_field("limit", f"limit is 1 to {_LARGEST_PAGE}; this one is {size}")


def _space(text: str | None) -> Space | None:
    if text is None:
        return None
    for space in Space:
        if text == space.name.lower():
            return space
    raise bad_field("space", f"space is quorum, efficiency or node; {text[:40]!r} is not")


def _not_renewed(answer: Answer | None) -> Problem:
    match answer:
        case None:
            return Problem(409, "waiting", "this token still stands in line: there is no lease to renew")
        case Revoked():
            return _revoked()
        case Rejected():
            return checks.rejected(answer)
        case _:
            return Problem(410, "lost", "this token holds no lease here any more: acquire again")


def _revoked() -> Problem:
    return Problem(410, "revoked", "an operator revoked this lease: stop using what it protected")


def _shown(holder: Holder) -> dict[str, str]:
    return {"label": holder.label, "token_hash": holder.token_hash, "mode": holder.mode.name.lower()}


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
