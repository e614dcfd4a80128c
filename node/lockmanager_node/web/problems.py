"""Errors as clients see them: every failure becomes problem+json (RFC 9457) with a stable `code`.

| status | code | meaning |
|---|---|---|
| 400 | `bad_request` | the body or the query cannot be read; `field` names the member where one is to blame |
| 400 | `name` `ttl` `wait` `label` `token` `limit` `after` `space` | that field (also in `field`) breaks a limit |
| 401 | `unauthenticated` | no key was sent, and this cluster wants one |
| 403 | `denied` | the key is not one of this cluster's |
| 404, 405 | `not_found`, `method_not_allowed` | no such path; not with this method |
| 408 | `timeout` | the body did not arrive in time |
| 409 | `held` | somebody else holds the lock; `held_by` says who |
| 409 | `waiting` | the token still stands in line: there is no lease to renew |
| 409 | `mismatch` | the token stands for another lock than the name given with it |
| 410 | `lost`, `revoked` | there is no such lease any more; an operator ended it |
| 413 | `too_large` | the body is larger than 1 MiB |
| 417 | `bad_request` | `Expect` is something other than `100-continue` |
| 429 | `leases`, `waiters` | the node or the line is full |
| 500 | `internal` | a fault of this node; its log tells more |
| 503 | `recovering`, `stopping` | not now; `Retry-After` says when to ask again, `remaining` how long it is silent |

Nothing here may put a token or a key into a log or an answer.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.typedefs import Handler, Middleware

from ..access import Outcome
from .context import NodeContext

log = logging.getLogger("lockmanager_node")

connection_log: Final = logging.getLogger("lockmanager_node.http")
"""For aiohttp's own complaints about connections (`AppRunner(logger=...)`): an unreadable request line is not shown."""

RECOVERY_PATH: Final = "/v1/recovery"
"""Where nodes ask each other; they have a key of their own."""

_CODES: Final = {404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_large"}
_SHOWN_PARAMETERS: Final = frozenset({"ttl", "timeout", "lifetime", "lockname", "prefix", "after", "limit", "space"})
_SECRET_LOOKING: Final = re.compile(r"[0-9A-Za-z]{32,}")
_HIDDEN: Final = "***"


class Problem(Exception):
    """A refusal to be told to the client. Neither `detail` nor `members` may hold a secret."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def bad_field(field: str, detail: str, *, code: str | None = None) -> Problem:
    """Return a 400 about one field; its code is the field's name unless given."""
    return Problem(400, code or field, detail, members={"field": field})


def middleware(context: NodeContext) -> Middleware:
    """Return what checks the key, answers every failure, and forbids caching unless a handler allowed it."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if _is_locked(request):
                require_key(context, request, peers_too=request.path == RECOVERY_PATH)
            response = await handler(request)
        except Problem as problem:
            response = _response(problem)
        except web.HTTPException as error:
            response = _response(_from_http(request, error)) if error.status >= 400 else error
        except Exception as error:
            if request.writer.output_size and isinstance(error, ConnectionError):
                raise  # the client left while it was answered
            response = _response(unexpected(request, error))
            if request.writer.output_size:
                raise ConnectionError("the answer had begun when it failed") from None
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guard


def expecting(route: web.RouteDef) -> web.RouteDef:
    """Return a route that refuses an expectation it does not know as it refuses everything else.

    aiohttp asks before any middleware, and would answer in plain text.
    """
    return web.RouteDef(route.method, route.path, route.handler, {**route.kwargs, "expect_handler": _expect})


async def _expect(request: web.Request) -> web.Response | None:
    expectation = request.headers.get("Expect", "")
    if request.version < HttpVersion11:
        return None
    if expectation.lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer nothing was sent yet
        return None
    headers = {"Cache-Control": "no-store"}
    return _response(Problem(417, "bad_request", "Expect may be 100-continue and nothing else", headers=headers))


def require_key(context: NodeContext, request: web.Request, *, peers_too: bool = False) -> None:
    """Raise the 401 or 403 for a request without a valid `Authorization: Bearer` key, where the cluster has keys."""
    allows = context.access.allows_peer if peers_too else context.access.allows
    verdict = allows(request.headers.get("Authorization"))
    if verdict.outcome is Outcome.MISSING:
        headers = {"WWW-Authenticate": "Bearer"}
        raise Problem(401, "unauthenticated", "this cluster wants a key: Authorization: Bearer KEY", headers=headers)
    if not verdict.allowed:
        raise Problem(403, "denied", "the key is not one of this cluster's")


def unexpected(request: web.Request, error: Exception) -> Problem:
    """Log a fault of this node and return its 500. The error's own text is not logged: it may hold a secret."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error(
        "request_failed method=%s path=%s error=%s\n%s",
        request.method,
        redact(request.path),
        type(error).__name__,
        where,
    )
    return Problem(500, "internal", "this node failed; its log tells more")


def redact(path: str) -> str:
    """Return a path (with or without a query) fit for a log: tokens, keys and whatever looks like one are `***`.

    Only parameters known to be harmless keep their values; the last segment under `/releaseLock` is a token.
    """
    target, mark, query = path.partition("?")
    head, slash, _ = target.rpartition("/")
    if unquote(target).lower().startswith("/releaselock/"):
        target = head + slash + _HIDDEN
    if mark:
        query = "&".join(_redacted_parameter(parameter) for parameter in query.split("&"))
    return _SECRET_LOOKING.sub(_HIDDEN, target + mark + query)


def _without_error_text(record: logging.LogRecord) -> bool:
    """Keep the kind of an error and drop its text, which quotes the request line, tokens included.

    That of a body in no encoding is dropped whole: whoever sent it was told, and aiohttp met it once more.
    """
    if record.exc_info and record.exc_info[0] is not None:
        if issubclass(record.exc_info[0], (ContentEncodingError, web.RequestPayloadError)):
            return False
        record.msg = f"{record.getMessage()}: {record.exc_info[0].__name__}"
        record.args, record.exc_info, record.exc_text = None, None, None
    return True


connection_log.addFilter(_without_error_text)


def _redacted_parameter(parameter: str) -> str:
    key, equals, value = parameter.partition("=")
    return key + equals + (value if key in _SHOWN_PARAMETERS else _HIDDEN) if equals else parameter


def _is_locked(request: web.Request) -> bool:
    """Say whether the request needs a key. Routes match a less decoded path, so none under `/v1/` escapes this."""
    return request.path.startswith("/v1/")


def _from_http(request: web.Request, error: web.HTTPException) -> Problem:
    code = _CODES.get(error.status, "bad_request" if error.status < 500 else "internal")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(error.status, code, _detail(request, error), headers=headers)


def _detail(request: web.Request, error: web.HTTPException) -> str:
    match error:
        case web.HTTPNotFound():
            return f"there is nothing at {redact(request.path)}"
        case web.HTTPMethodNotAllowed():
            use = ", ".join(sorted(error.allowed_methods))
            return f"{redact(request.path)} does not answer {request.method}; use {use}"
        case web.HTTPRequestEntityTooLarge():
            return f"a body is at most {request.client_max_size} bytes"
        case _:
            return error.reason


def _response(problem: Problem) -> web.Response:
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(body | problem.members),
        content_type="application/problem+json",
        headers=problem.headers,
    )
