"""Whatever is asked for in a target, by whatever method, the node answers in the way of its API, and goes on."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote_from_bytes

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .http_world import Reply, World, one_node, require_known
from .nonsense import damaged, long_lists, one_of_many, weighted, wild_texts
from .properties import holds

FOREIGN: Final = b"f" * 32

_LISTS: Final = [b"prefix", b"after", b"limit", b"space"]
_RECOVERY: Final = [b"node", b"incarnation", b"after"]
_CLASSIC: Final = [b"lockname", b"lifetime", b"token", b"auth", b"ttl"]
_WAITS: Final = [b"timeout=" + wait for wait in (b"0", b"0.01", b"-1", b"", b"x", b"%ff", b"1e-3")]
"""None for which a property would have to wait."""

_VALUES: Final = [
    *(b"a", b"held", b"", b"1", b"1000", b"0", b"-1", b"1e3", b"NaN", b"9" * 30, b"0.5", b"node", b"node1", b"quorum"),
    *(b"MmhlbGQ", b"MmhlbGQ=", b"OWE", b"%ff", b"%", b"%00", b"+", b"%2B", b"%ED%A0%80", FOREIGN, b"T" * 300),
]

_quoted = st.builds(lambda text: quote_from_bytes(text.encode(), safe="").encode(), wild_texts)
_lightly_quoted = st.builds(lambda data: quote_from_bytes(data, safe="/!$&'()*+,;=:@").encode(), st.binary(max_size=12))
_pieces = weighted((4, one_of_many(_VALUES)), (2, _quoted), (2, _lightly_quoted))


def _queries(names: list[bytes], *whole: bytes) -> SearchStrategy[bytes]:
    """Give queries of these names, of whole pairs, and of anything."""
    keys = weighted((8, st.sampled_from(names)), (1, _pieces))
    pairs = weighted(
        (8, st.builds(lambda key, value: key + b"=" + value, keys, _pieces)),
        (1, st.sampled_from([*whole, b"="])),
        (1, _pieces),
    )
    return st.builds(lambda all_of: b"?" + b"&".join(all_of), st.lists(pairs, max_size=4)) | st.just(b"")


def _under(*paths: bytes) -> SearchStrategy[bytes]:
    return st.builds(lambda path, rest: path + b"/".join(rest), st.sampled_from(paths), st.lists(_pieces, max_size=3))


def _whole(paths: SearchStrategy[bytes], queries: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    return st.builds(lambda path, query: path + query, paths, queries)


_LISTED: Final = _whole(st.just(b"/v1/locks"), _queries(_LISTS))
_SHOWN: Final = _whole(_under(b"/v1/locks/", b"/v1//locks/", b"/v1/locks/../"), _queries(_LISTS))
_RECOVERED: Final = _whole(st.just(b"/v1/recovery"), _queries(_RECOVERY))
_FIRST_FORM: Final = _whole(_under(b"/getLock/", b"/releaseLock/", b"/releaseLock/a/"), _queries(_CLASSIC))
_LATER_FORM: Final = _whole(st.sampled_from([b"/getlock", b"/releaselock", b"/status"]), _queries(_CLASSIC, *_WAITS))
_OTHERS: Final = _whole(_under(b"/", b"/v1/", b"//", b"/v1/session", b"/v1/acquire/", b"*"), _queries(_LISTS))
targets = st.one_of(_LISTED, _SHOWN, _RECOVERED, _FIRST_FORM, _LATER_FORM, _OTHERS)
methods = weighted(
    (12, st.just(b"GET")),
    (3, st.just(b"DELETE")),
    (3, st.sampled_from([b"HEAD", b"POST", b"PUT", b"OPTIONS", b"PATCH", b"TRACE", b"get", b"X-ODD"])),
)


def _is_classic(target: bytes) -> bool:
    return target.startswith((b"/getLock/", b"/releaseLock/", b"/getlock", b"/releaselock", b"/status"))


def _require_in_its_way(method: bytes, target: bytes, reply: Reply) -> None:
    assert reply.status < 500, f"{reply.status}: {reply.body[:200]!r}"
    if method == b"HEAD" or reply.unreadable:
        return
    if reply.status >= 400 and _is_classic(target) and reply.status not in (404, 405):
        _require_classic_failure(reply)
    elif not target.startswith(b"/v1/cluster"):
        require_known(reply)


def _require_classic_failure(reply: Reply) -> None:
    """The first form says what is wrong in a sentence, which is no token and not `false`; the later one in JSON."""
    if reply.kind == "application/json":
        answer = json.loads(reply.body)
        assert answer["servername"] == "node1"
        assert answer["error"]
    else:
        assert reply.kind.startswith("text/plain")
        assert b" " in reply.body, reply.body


async def _get(world: World, method: bytes, target: bytes) -> bool:
    reply = await world.ask(b"%s %s HTTP/1.1\r\nHost: node\r\n\r\n" % (method, target))
    _require_in_its_way(method, target, reply)
    event(f"{reply.status} {'unreadable' if reply.unreadable else reply.kind}")
    return reply.status == 200 and _is_classic(target)


async def _get_all(world: World, requests: list[tuple[bytes, bytes]]) -> bool:
    return any([await _get(world, method, target) for method, target in requests])


@holds("http", one_node, examples=30, requests=long_lists(st.tuples(methods, targets)))
def test_no_target_is_answered_with_a_failure(world: World, requests: list[tuple[bytes, bytes]]) -> None:
    world.run(_get_all, requests)


def _on_one_line(target: bytes) -> bytes:
    return target.translate(None, b"\r\n")


@holds(
    "http",
    one_node,
    examples=15,
    requests=st.lists(st.tuples(st.just(b"GET"), damaged(targets).map(_on_one_line)), max_size=8),
)
def test_no_bytes_in_a_target_are_answered_with_a_failure(world: World, requests: list[tuple[bytes, bytes]]) -> None:
    world.run(_get_all, requests)
