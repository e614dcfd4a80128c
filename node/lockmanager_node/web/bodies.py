"""The JSON bodies of the HTTP API, and how they are read: strictly, with errors that name the field.

`Content-Type` is not looked at, so `curl -d` works. Every second is a float, every name any UTF-8 text.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Final, Literal, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .problems import Problem, bad_field

BODY_DEADLINE: Final = 30.0
"""Seconds a body may take to arrive."""

_AT: Final = re.compile(r"(.*) - at `\$\.?(.*)`\Z", re.DOTALL)
_FIELD: Final = re.compile(r"(?:unknown|required) field `(.*)`\Z", re.DOTALL)


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all bodies; no repr shows a token."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class AcquireBody(_Body, frozen=True):
    """`ttl` in seconds (default: the cluster's), `wait` in seconds; the same `token` again asks for the same lease."""

    name: str
    ttl: float | None = None
    wait: float = 0.0
    mode: Literal["exclusive", "shared"] = "exclusive"
    label: str = ""
    token: str | None = None


class RenewBody(_Body, frozen=True):
    """Extend to at least `ttl` seconds from now; a `name` is checked against the token's lock."""

    token: str
    ttl: float
    name: str | None = None


class ReleaseBody(_Body, frozen=True):
    """Give back; a `name` is checked against the token's lock."""

    token: str
    name: str | None = None


class RevokeBody(_Body, frozen=True):
    """An operator ends the leases of a lock; see the table about `force`."""

    name: str
    space: Literal["quorum", "efficiency", "node"] = "node"
    force: bool = False


Body = TypeVar("Body", AcquireBody, RenewBody, ReleaseBody, RevokeBody)


async def read(request: web.Request, kind: type[Body]) -> Body:
    """Return the request's body; raises Problem saying which field is wrong, or that the body is too large or late."""
    data = await _received(request)
    if not data.strip():
        raise Problem(400, "bad_request", "the body is empty; send a JSON object")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(data, error) from None


async def _received(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "timeout", f"the body did not arrive within {BODY_DEADLINE:g} s") from None
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError):
        # What follows on this connection cannot be found any more.
        detail, headers = "the body is broken: its transfer or content encoding is wrong", {"Connection": "close"}
        raise Problem(400, "bad_request", detail, headers=headers) from None


def _invalid(text: str) -> Problem:
    """Turn the reader's complaint into a problem; it holds types and field names, never a value."""
    match = _AT.match(text)
    what, path = match.groups() if match else (text, "")
    named = _FIELD.search(what)
    field = named[1] if named else path
    if not field:
        return Problem(400, "bad_request", f"the body: {what}")
    return bad_field(field, f"{field}: {what}", code="bad_request")


def _unreadable(data: bytes, error: Exception) -> Problem:
    """Say why a body is not JSON; NaN and infinity, which some clients write, are named with their field."""
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, "bad_request", "the body is not valid UTF-8")
    for field, value in _lenient(data).items():
        if isinstance(value, float) and not math.isfinite(value):
            shown = field.encode(errors="replace").decode()  # JSON may name half a character
            return bad_field(shown, f"{shown}: {value} is not a number in JSON", code="bad_request")
    return Problem(400, "bad_request", f"the body is not JSON: {error}")


def _lenient(data: bytes) -> dict[str, object]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
