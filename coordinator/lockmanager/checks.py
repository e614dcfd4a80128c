"""What callers hand in, checked before anything is sent: bad input is one clear error and changes nothing. Pure."""

from __future__ import annotations

from math import isfinite

from .durations import MICROSECONDS, microseconds
from .errors import RequestRejected
from .topology import Limits


def checked_name(name: object, limits: Limits) -> str:
    """Return a lock name of 1 to 255 bytes of UTF-8; raises RequestRejected otherwise."""
    if not isinstance(name, str):
        raise RequestRejected("name", f"a lock name is text; got {type(name).__name__}")
    size = _utf8_size("name", name)
    if not 1 <= size <= limits.name_bytes:
        raise RequestRejected("name", f"a lock name is 1 to {limits.name_bytes} bytes of UTF-8; this one has {size}")
    return name


def checked_label(label: object, limits: Limits) -> str:
    """Return a label of up to 128 bytes of UTF-8; raises RequestRejected otherwise."""
    if not isinstance(label, str):
        raise RequestRejected("label", f"a label is text; got {type(label).__name__}")
    size = _utf8_size("label", label)
    if size > limits.label_bytes:
        raise RequestRejected("label", f"a label is at most {limits.label_bytes} bytes of UTF-8; this one has {size}")
    return label


def checked_ttl(ttl: object, limits: Limits) -> int:
    """Return a ttl in seconds as microseconds; raises RequestRejected for what is not within the limits."""
    value = _number("ttl", ttl)
    if not limits.min_ttl <= value <= limits.max_ttl:
        raise RequestRejected("ttl", f"a ttl is {limits.min_ttl:g} s to {limits.max_ttl:g} s; got {value:g}")
    return microseconds(value)


def checked_wait(wait: object) -> int | None:
    """Return a wait in seconds as microseconds, None for ever; raises RequestRejected for negative or not a number."""
    if wait is None:
        return None
    value = _number("wait", wait)
    if value < 0:
        raise RequestRejected("wait", f"a wait is 0 (try once) or more seconds, or None (for ever); got {value:g}")
    if not isfinite(value * MICROSECONDS):
        raise RequestRejected("wait", f"a wait of {value:g} s cannot be counted in microseconds; None waits for ever")
    return microseconds(value)


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestRejected(field, f"{field} is a number of seconds; got {value!r:.60}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise RequestRejected(field, f"{field} is a finite number of seconds; got {number}")
    return number


def _utf8_size(field: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise RequestRejected(field, f"the {field} is not valid UTF-8: it holds a lone surrogate") from None
