"""Values and bytes that no honest sender would send: at the edges of types, and a little damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


def one_of_many(values: Sequence[Any]) -> SearchStrategy[Any]:
    """Give one of the values, which are too long to be shown with the strategy."""
    return st.sampled_from(range(len(values))).map(values.__getitem__)


def weighted(*choices: tuple[int, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Give one of several strategies, the more often the greater the number beside it."""
    strategies = [strategy for _, strategy in choices]
    places = [place for place, (weight, _) in enumerate(choices) for _ in range(weight)]
    return st.sampled_from(places).flatmap(strategies.__getitem__)


def long_lists(of: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
    """Give lists of a dozen and more, that shrink to nothing all the same."""
    return st.builds(
        lambda parts: [one for part in parts for one in part], st.lists(st.lists(of, max_size=8), max_size=6)
    )


EDGES: Final = [
    *((1 << bits) + off for bits in (7, 8, 15, 16, 31, 32, 53, 62, 63) for off in (-1, 0)),
    *(off - (1 << bits) for bits in (5, 7, 15, 31, 53, 62, 63) for off in (0, 1)),
    (1 << 64) - 1,
]
"""Where one size of integer ends and the next begins, within what 64 bits hold."""

wild_integers = st.one_of(st.integers(-2, 2), st.sampled_from(EDGES), st.integers(-(1 << 63), 1 << 63))

LONG_TEXTS: Final = ["x" * 255, "x" * 256, "é" * 127, "é" * 128, "🔒" * 64, "\0" * 255, "x" * 5_000]

wild_texts = st.one_of(
    st.text(max_size=6),
    one_of_many(["", " ", "/", "%", "..", "\0", "\u202e", "\x1b[2J", "a/b", "7", "1e3", "true", *LONG_TEXTS]),
)

_scalars = st.one_of(st.none(), st.booleans(), wild_integers, st.floats(), wild_texts, st.binary(max_size=6))


def _nested(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=4), st.dictionaries(wild_texts, inner, max_size=3))


wild_values = st.recursive(_scalars, _nested, max_leaves=6)
"""What MessagePack can carry."""


Damage = Callable[[bytes], bytes]

_places = st.integers(0, 1 << 16)
_spans = st.integers(1, 40)


def _place(data: bytes, at: int) -> int:
    """Return the place `at` stands for: places are drawn before the data's length is known."""
    return at % len(data) if data else 0


def _flipped(at: int, bit: int) -> Damage:
    def flip(data: bytes) -> bytes:
        place = _place(data, at)
        return data[:place] + bytes(byte ^ (1 << bit) for byte in data[place : place + 1]) + data[place + 1 :]

    return flip


def _replaced(at: int, span: int, by: bytes) -> Damage:
    """Let other bytes stand in place of `span` bytes: none, to drop them; a span of 0 only puts some in."""

    def replace(data: bytes) -> bytes:
        place = _place(data, at)
        return data[:place] + by + data[place + span :]

    return replace


def _doubled(at: int, span: int) -> Damage:
    def double(data: bytes) -> bytes:
        place = _place(data, at)
        return data[: place + span] + data[place:]

    return double


def _exchanged(at: int, other: int, span: int) -> Damage:
    """Let two spans of bytes, such as pages, change places."""

    def exchange(data: bytes) -> bytes:
        first, second = sorted((_place(data, at), _place(data, other)))
        if second - first < span:
            return data
        between = data[first + span : second]
        return (
            data[:first] + data[second : second + span] + between + data[first : first + span] + data[second + span :]
        )

    return exchange


PIECES: Final = [b"\x00", b"\xff" * 5, b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\x91" * 2_000]
"""What makes a reader of lengths run away, or a reader of nested things fall into itself."""

damages: SearchStrategy[Damage] = st.one_of(
    st.builds(_flipped, _places, st.integers(0, 7)),
    st.builds(_replaced, _places, st.just(1), st.binary(min_size=1, max_size=1)),
    st.builds(_replaced, _places, _spans, st.binary(max_size=8)),
    st.builds(_replaced, _places, st.just(1 << 20), st.just(b"")),
    st.builds(_replaced, _places, st.integers(0, 1), one_of_many(PIECES)),
    st.builds(_doubled, _places, _spans),
    st.builds(_exchanged, _places, _places, _spans),
)


def damaged(whole: SearchStrategy[bytes], *, most: int = 3) -> SearchStrategy[bytes]:
    """Give bytes with one to `most` damages."""
    return st.builds(_with_all, whole, st.lists(damages, min_size=1, max_size=most))


def _with_all(data: bytes, harm: list[Damage]) -> bytes:
    for damage in harm:
        data = damage(data)
    return data


def spliced(whole: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Give the beginning of one and the end of another."""
    return st.builds(lambda a, b, m, n: a[: _place(a, m)] + b[_place(b, n) :], whole, whole, _places, _places)
