"""Names and parameters out of a request target, decoded strictly: what is not UTF-8 is refused, never guessed at.

aiohttp keeps `%ff` undecoded and replaces bad bytes in queries; here the raw target is read instead, so that a
handler sees exactly the name the client meant, or the client an error that names the field.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp import web

from .problems import bad_field

_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,18}\Z", re.ASCII)


def tail(request: web.Request, segments: int) -> str:
    """Return what follows the first `segments` segments of the path, raw; slashes in it are kept."""
    return request.rel_url.raw_path.split("/", segments + 1)[segments + 1]


def decode(raw: str, field: str, *, code: str | None = None) -> str:
    """Return percent-encoded text as the text it stands for; raises Problem when it is not valid UTF-8."""
    if _STRAY_PERCENT.search(raw):
        detail = f"{field}: a % must be followed by two hex digits; write %25 for the sign itself"
        raise bad_field(field, detail, code=code)
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise bad_field(field, f"{field} is not valid UTF-8 once decoded", code=code) from None


def query(request: web.Request) -> dict[str, str]:
    """Return the parameters of the query by name; raises Problem for one that is given twice or is not UTF-8."""
    found: dict[str, str] = {}
    for pair in filter(None, request.rel_url.raw_query_string.split("&")):
        raw_key, _, raw_value = pair.replace("+", " ").partition("=")
        key = decode(raw_key, "query", code="bad_request")
        if key in found:
            raise bad_field(key, f"{key} is given twice", code="bad_request")
        found[key] = decode(raw_value, key, code="bad_request")
    return found


def strict_query(request: web.Request, *known: str) -> dict[str, str]:
    """Return the parameters of the query; raises Problem also for one that is not `known`."""
    found = query(request)
    for key in found:
        if key not in known:
            use = ", ".join(known) or "none"
            raise bad_field(key, f"{key[:40]} is not a parameter here; known: {use}", code="bad_request")
    return found


def number(text: str, field: str) -> float:
    """Return decimal text as a number; raises Problem for anything else, NaN and infinity included."""
    if not _NUMBER.match(text):
        raise bad_field(field, f"{field} is a number of seconds such as 30 or 0.5; {text[:40]!r} is not")
    return float(text)


def whole(text: str, field: str) -> int:
    """Return decimal text as a whole number that is not negative; raises Problem for anything else."""
    if not _WHOLE.match(text):
        raise bad_field(field, f"{field} is a whole number; {text[:40]!r} is not")
    return int(text)
