"""Whatever stands in a body, the node says what is wrong with it, and goes on."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .http_world import World, one_node, require_known
from .nonsense import damaged, long_lists, one_of_many, spliced, weighted, wild_integers, wild_texts
from .properties import holds

PATHS: Final = ["acquire", "renew", "release", "revoke"]
FOREIGN: Final = "f" * 32

_texts = wild_texts | st.sampled_from(["\ud800", "a\udfff"])
_numbers = st.floats() | wild_integers | st.sampled_from([10**30, 10**400, -0.0, 5e-324])
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_keys = st.sampled_from(["name", "ttl", "token", "space"]) | wild_texts
"""No half characters: `test_a_key_of_half_a_character_beside_no_number_is_refused` is about these."""
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=5
)


def _or_wild(*tame: Any) -> SearchStrategy[Any]:
    return weighted((6, st.sampled_from(tame)), (1, _values))


def _soon(wait: Any) -> Any:
    """Return what need not be waited for in place of a wait that is allowed."""
    return 0.001 if isinstance(wait, int | float) and 0 < wait <= 3_600 else wait


_NAMES: Final = ("a", "b", "é🔒")
_tokens = _or_wild(FOREIGN, "f" * 31, "-" * 32)
_name = _or_wild(*_NAMES)
_MEMBERS: Final[list[tuple[str, dict[str, SearchStrategy[Any]]]]] = [
    (
        "acquire",
        {
            "name": _or_wild("held", *_NAMES),
            "ttl": _or_wild(10, 0.1, 2_592_000, 0.05, 1e308),
            "mode": _or_wild("shared", "exclusive"),
            "label": _or_wild("me", ""),
            "token": _tokens,
        },
    ),
    ("acquire", {"name": _or_wild("held", *_NAMES), "wait": _or_wild(0, 0.0, 0.001, -1, 3601).map(_soon)}),
    ("renew", {"token": _tokens, "ttl": _or_wild(10, 0.1, 1e308), "name": _name}),
    ("release", {"token": _tokens, "name": _name}),
    ("revoke", {"name": _name, "space": _or_wild("quorum", "efficiency", "node"), "force": _or_wild(True, False)}),
]


def _written(value: Any, ascii_only: bool, encoding: str) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode(encoding, "surrogatepass")


_encodings = weighted((12, st.just("utf-8")), (1, st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])))
_brief = st.builds(_written, st.fixed_dictionaries({"name": _name, "token": _tokens}), st.booleans(), st.just("utf-8"))

_wild_bodies: SearchStrategy[bytes] = st.one_of(
    damaged(_brief),
    spliced(_brief),
    st.builds(_written, st.dictionaries(_keys, _values, max_size=4) | _values, st.booleans(), _encodings),
    st.binary(max_size=40),
    one_of_many([b"[" * 100_000, b'{"name":' * 50_000, b'{"ttl":' + b"9" * 5_000 + b"}", b"\x00" * 300]),
)


def _requests_of(path: str, members: dict[str, SearchStrategy[Any]]) -> SearchStrategy[tuple[str, bytes]]:
    """Give requests with some or all of the members, most of them what they should be."""
    few = {name: members[name] for name in list(members)[:1]}
    rest = {name: members[name] for name in list(members)[1:]}
    objects = st.fixed_dictionaries(few, optional=rest) | st.fixed_dictionaries({}, optional=members)
    return st.tuples(st.just(path), st.builds(_written, objects, st.booleans(), _encodings))


requests_with_bodies = weighted(
    (2, st.one_of(*[_requests_of(path, members) for path, members in _MEMBERS])),
    (1, st.tuples(st.sampled_from(PATHS), _wild_bodies)),
)


async def _post(world: World, path: str, body: bytes) -> bool:
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n\r\n"
    reply = await world.ask(head.encode() + body)
    require_known(reply)
    event(f"{path} {reply.status}")
    return reply.status == 200


async def _post_all(world: World, requests: list[tuple[str, bytes]]) -> bool:
    return any([await _post(world, path, body) for path, body in requests])


@holds("http", one_node, examples=25, requests=long_lists(requests_with_bodies))
def test_no_body_is_answered_with_a_failure(world: World, requests: list[tuple[str, bytes]]) -> None:
    world.run(_post_all, requests)
