"""Frames as bytes: what is written is what aiohttp's own parser reads, at every size at which the header changes."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest
from aiohttp.http import WebSocketReader, WSMsgType

from lockmanager.framing import framed, framed_and_masked

SIZES = (0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001)


async def parsed(data: bytes) -> list[tuple[WSMsgType, bytes]]:
    """Return the messages that aiohttp finds in the bytes."""
    from aiohttp._websocket.reader import WebSocketDataQueue

    queue = WebSocketDataQueue(MagicMock(_reading_paused=False), 1 << 20, loop=asyncio.get_running_loop())
    reader = WebSocketReader(queue, 1 << 20, compress=False, decode_text=True)
    assert reader.feed_data(data) == (False, b"")
    found = []
    while queue._buffer:
        message = await queue.read()
        found.append((message.type, message.data))
    return found


def payload(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


@pytest.mark.parametrize("size", SIZES)
async def test_a_frame_of_a_server_is_read_as_one_binary_message(size: int) -> None:
    assert await parsed(framed(payload(size))) == [(WSMsgType.BINARY, payload(size))]


@pytest.mark.parametrize("mask", [0, 1, 0x01020304, 0xFFFFFFFF])
@pytest.mark.parametrize("size", SIZES)
async def test_a_frame_of_a_client_is_unmasked_to_what_was_sent(size: int, mask: int) -> None:
    assert await parsed(framed_and_masked(payload(size), mask)) == [(WSMsgType.BINARY, payload(size))]


async def test_frames_one_after_the_other_are_as_many_messages() -> None:
    both = framed(b"one") + framed(b"") + framed_and_masked(b"two", 7)
    assert [data for _, data in await parsed(both)] == [b"one", b"", b"two"]


def test_what_a_client_sends_is_masked() -> None:
    assert b"a secret word" not in framed_and_masked(b"a secret word", 0x5A5A5A5A)
