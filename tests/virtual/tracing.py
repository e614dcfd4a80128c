"""What crossed the wires, in a form that a seed repeats.

aiohttp draws the key of an upgrade from the operating system, the library masks its frames with random numbers, and a
server dates its answers: these are taken out, and everything else of the bytes is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

Event = tuple[float, str, str, bytes]
"""When, on which way, what happened (see `wires.Trace`), the bytes."""

_DRAWN: Final = re.compile(rb"(?i)^(date|sec-websocket-key|sec-websocket-accept): [^\r]*", re.MULTILINE)
_HTTP: Final = (b"GET ", b"HTTP/")
_MASKED: Final = 0x80
_MASK_AT: Final = {126: 4, 127: 10}


def repeatable(event: Event) -> tuple[float, str, str, bytes]:
    """Return an event without what nobody can repeat; of bytes that arrive, which were sent before, only the number."""
    instant, way, what, data = event
    if what != "sent":
        return instant, way, what, str(len(data)).encode()
    if data.startswith(_HTTP):
        return instant, way, what, _DRAWN.sub(rb"\1: -", data)
    return instant, way, what, _unmasked(data)


def digest(trace: Iterable[Event]) -> str:
    """Return one word for all that happened, when and in which order."""
    words = sha256()
    for event in trace:
        words.update(repr(repeatable(event)).encode())
    return words.hexdigest()


def _unmasked(frame: bytes) -> bytes:
    if len(frame) < 2 or not frame[1] & _MASKED:
        return frame
    at = _MASK_AT.get(frame[1] & ~_MASKED, 2)
    mask, payload = frame[at : at + 4], frame[at + 4 :]
    return frame[:at] + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
