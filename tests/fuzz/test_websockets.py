"""Whatever arrives on a connection that asked to become a session, the node ends it or goes on, and serves others."""

from __future__ import annotations

import asyncio
from struct import pack
from typing import Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lockmanager.wire import PROTOCOL, Hello, UpFrame, encode
from tests.support.node_server import cluster, eventually

from .frames import nearly_up_frames, up_frames, wild_tokens
from .http_world import DEADLINE, World, one_node
from .node_steps import tame_messages, wild_messages
from .nonsense import damaged, weighted, wild_integers, wild_texts
from .properties import holds

_UPGRADE: Final = [
    b"GET /v1/session HTTP/1.1",
    b"Host: node",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]
_HEADERS: Final = [
    b"Upgrade: h2c",
    b"Connection: close",
    b"Sec-WebSocket-Version: 8",
    b"Sec-WebSocket-Version: x",
    b"Sec-WebSocket-Key: short",
    b"Sec-WebSocket-Key: \xff",
    b"Sec-WebSocket-Protocol: chat",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    b"Content-Length: 5",
    b"Authorization: Bearer \xfe",
]


def _request(odd: list[bytes]) -> bytes:
    """Return the request for an upgrade, with odd headers in place of those it should have."""
    names = {one.partition(b":")[0] for one in odd}
    lines = [line for line in _UPGRADE if line.partition(b":")[0] not in names]
    return b"\r\n".join([*lines, *odd, b"", b""])


_LAST: Final = 0x80
_MASKED: Final = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def _sized(length: int, width: int) -> bytes:
    """Return the length as WebSockets write it, in as many bytes as are asked for at least."""
    if width == 0 and length < 126:
        return bytes([_MASKED | length])
    if width <= 2 and length < 1 << 16:
        return bytes([_MASKED | 126]) + pack("!H", length)
    return bytes([_MASKED | 127]) + pack("!Q", length)


def _frame(opcode: int, data: bytes, *, last: bool = True, width: int = 0, reserved: int = 0) -> bytes:
    """Return a client's frame, masked with zeros."""
    return bytes([(_LAST if last else 0) | reserved << 4 | opcode]) + _sized(len(data), width) + bytes(4) + data


def _in_fragments(data: bytes, size: int, between: bytes) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    opcodes = [BINARY, *[CONTINUATION] * (len(parts) - 1)]
    sent = [_frame(kind, part, last=False) + between for kind, part in zip(opcodes, parts, strict=True)]
    return b"".join(sent) + _frame(CONTINUATION, b"")


_hellos = st.builds(
    Hello,
    weighted((8, st.just(PROTOCOL)), (1, wild_integers)),
    weighted((8, st.just(cluster().fingerprint)), (1, wild_texts)),
    weighted((4, st.sampled_from(["s" * 32, "t" * 32])), (1, wild_tokens)),
    weighted((8, st.just("a client")), (1, wild_texts)),
)
_openings = st.builds(encode, st.builds(UpFrame, wild_integers, st.tuples(_hellos).map(list)))
_orders = st.builds(encode, st.builds(UpFrame, wild_integers, st.lists(tame_messages | wild_messages, max_size=4)))
_payloads = weighted((4, _orders), (3, nearly_up_frames), (1, st.builds(encode, up_frames)), (1, _openings))
_controls = st.builds(_frame, st.sampled_from([PING, PONG, CLOSE]), st.binary(max_size=125))
_fragments = st.builds(_in_fragments, _payloads, st.integers(1, 60), st.just(b"") | _controls)
_odd_frames = st.builds(
    _frame,
    st.integers(0, 15),
    _payloads,
    last=st.booleans(),
    width=st.sampled_from([0, 2, 8]),
    reserved=st.integers(0, 7),
)
_too_long: Final = bytes([_LAST | BINARY, _MASKED | 127]) + b"\xff" * 8

frames: SearchStrategy[bytes] = weighted(
    (6, st.builds(_frame, st.just(BINARY), _payloads)),
    (1, st.builds(_frame, st.just(TEXT), st.binary(max_size=8) | st.just("é".encode()))),
    (1, _controls),
    (1, _fragments),
    (1, _odd_frames),
    (1, damaged(st.builds(_frame, st.just(BINARY), _payloads))),
    (1, st.just(_too_long) | st.binary(max_size=20)),
)
_greeted = st.builds(lambda hello, rest: [_frame(BINARY, hello), *rest], _openings, st.lists(frames, max_size=6))
connections = st.tuples(
    st.builds(_request, weighted((4, st.just([])), (1, st.lists(st.sampled_from(_HEADERS), max_size=2)))),
    _greeted | st.lists(frames, max_size=3),
)


async def _speak(world: World, request: bytes, frames: list[bytes]) -> None:
    """Say everything at once, and leave when the node has answered the first of it."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.node.port)
        try:
            writer.write(request + b"".join(frames))
            answer = await reader.readuntil(b"\r\n\r\n")
            event(answer.split(b"\r\n", 1)[0].decode())
            assert answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 4", b"HTTP/1.0 400")), answer
            writer.write_eof()
            await reader.read()
        finally:
            writer.transport.abort()


async def _speak_all(world: World, spoken: list[tuple[bytes, list[bytes]]]) -> bool:
    for request, frames in spoken:
        await _speak(world, request, frames)
    await eventually(lambda: not world.node.service._recipients)
    return True


@holds("websocket", one_node, examples=30, spoken=st.lists(connections, max_size=4))
def test_nothing_a_connection_says_brings_a_node_down(world: World, spoken: list[tuple[bytes, list[bytes]]]) -> None:
    world.run(_speak_all, spoken)
