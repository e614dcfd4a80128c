"""Whatever headers say of a body, the node reads what arrives or refuses it, and goes on."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .http_world import World, one_node, require_known
from .nonsense import damaged, one_of_many, weighted
from .properties import holds

Header = tuple[bytes, bytes]

_BODY: Final = json.dumps({"name": "a", "label": "é"}).encode()
_WRITTEN: Final = [
    _BODY,
    gzip.compress(_BODY),
    zlib.compress(_BODY),
    zlib.compress(_BODY)[2:-4],
    b"",
    gzip.compress(b""),
]
_ENCODINGS: Final = [b"identity", b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"x-odd", b"", b"*"]
_TYPES: Final = [
    b"application/json",
    b"text/plain; charset=utf-16",
    b"multipart/form-data; boundary=x",
    b";",
    b"",
    b"a/b/c",
]
_ODD: Final[list[Header]] = [
    (b"Accept", b"*/*;q=\xff"),
    (b"Authorization", b"Bearer"),
    (b"Authorization", b"Basic \xff\xfe"),
    (b"Connection", b"Upgrade, close"),
    (b"Upgrade", b"websocket"),
    (b"Expect", b"100-continue"),
    (b"Expect", b"a miracle"),
    (b"Content-MD5", b"x"),
    (b"Cookie", b"a=b; =; \xff"),
    (b"If-None-Match", b'"x'),
    (b"Range", b"bytes=5-1"),
    (b"X-Http-Method-Override", b"DELETE"),
    (b"X-Long", b"x" * 8_000),
    (b"X-Too-Long", b"x" * 20_000),
    (b"Host", b"second"),
    (b"Content-Length", b"1"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding", b"x-odd"),
]
_ENOUGH: Final = b"0\r\n\r\n"
"""Ends a body that was announced and not sent."""

_lengths = weighted((8, st.just(0)), (1, st.just(-1)))


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _with_length(headers: list[Header], body: bytes, off: int) -> tuple[list[Header], bytes]:
    return [*headers, (b"Content-Length", b"%d" % max(0, len(body) + off))], body


def _in_chunks(headers: list[Header], body: bytes, size: int) -> tuple[list[Header], bytes]:
    return [*headers, (b"Transfer-Encoding", b"chunked")], _chunked(body, size)


_known = st.tuples(st.just(b"Content-Encoding"), st.sampled_from(_ENCODINGS)) | st.tuples(
    st.just(b"Content-Type"), st.sampled_from(_TYPES)
)
_headers: SearchStrategy[list[Header]] = st.lists(weighted((3, _known), (1, one_of_many(_ODD))), max_size=3)
_bodies = weighted((4, one_of_many(_WRITTEN)), (1, damaged(one_of_many(_WRITTEN))))

requests: SearchStrategy[tuple[list[Header], bytes]] = weighted(
    (6, st.builds(_with_length, _headers, _bodies, _lengths)),
    (4, st.builds(_in_chunks, _headers, _bodies, st.integers(1, 50))),
    (1, st.tuples(_headers, _bodies)),
    (1, st.tuples(st.just([(b"Transfer-Encoding", b"chunked")]), st.just(b"zz\r\n"))),
)


async def _post(world: World, headers: list[Header], body: bytes) -> bool:
    head = b"".join(b"%s: %s\r\n" % header for header in [(b"Host", b"node"), *headers])
    reply = await world.ask(b"POST /v1/acquire HTTP/1.1\r\n%s\r\n%s" % (head, body), otherwise=_ENOUGH)
    event(f"{reply.status} {reply.kind}")
    if not reply.unreadable:
        require_known(reply)
    return reply.status == 200


async def _post_all(world: World, asked: list[tuple[list[Header], bytes]]) -> bool:
    return any([await _post(world, headers, body) for headers, body in asked])


@holds("http", one_node, examples=25, asked=st.lists(requests, max_size=10))
def test_no_headers_are_answered_with_a_failure(world: World, asked: list[tuple[list[Header], bytes]]) -> None:
    world.run(_post_all, asked)
