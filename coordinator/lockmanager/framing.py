"""A binary WebSocket frame as bytes, so that sending is one write to the transport and never suspends. Pure.

RFC 6455, section 5.2: one unfragmented message per frame. What arrives is parsed by aiohttp, and so are pings, closing
and the handshake.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

_LAST_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT: Final = Struct("!BB").pack
_MEDIUM: Final = Struct("!BBH").pack
_LONG: Final = Struct("!BBQ").pack
_SHORT_LIMIT: Final = 126
_MEDIUM_LIMIT: Final = 1 << 16

PING: Final = b"\x89\x00"
"""A ping of a server, with nothing in it."""


def framed(data: bytes) -> bytes:
    """Return the frame a server sends."""
    return _header(len(data), 0) + data


def framed_and_masked(data: bytes, mask: int) -> bytes:
    """Return the frame a client sends; `mask` is a fresh random number of 32 bits."""
    size, key = len(data), mask.to_bytes(4, "big")
    pattern = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, "little") ^ int.from_bytes(pattern, "little")
    return _header(size, _MASKED) + key + masked.to_bytes(size, "little")


def _header(size: int, masked: int) -> bytes:
    if size < _SHORT_LIMIT:
        return _SHORT(_LAST_BINARY, masked | size)
    if size < _MEDIUM_LIMIT:
        return _MEDIUM(_LAST_BINARY, masked | 126, size)
    return _LONG(_LAST_BINARY, masked | 127, size)
