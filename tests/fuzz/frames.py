"""Frames of the session protocol: well-formed ones that say anything, and bytes that are nearly frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lockmanager.wire import (
    PROTOCOL,
    Acquire,
    DownFrame,
    Granted,
    Hello,
    Holder,
    Inquire,
    Lost,
    Mode,
    Queued,
    Raise,
    Raised,
    Recovering,
    Refusal,
    Refused,
    Rejected,
    Release,
    Released,
    Renew,
    Renewed,
    Revoked,
    Space,
    State,
    Token,
    UpFrame,
    Welcome,
    Yield,
    encode,
)

from .nonsense import damaged, spliced, wild_integers, wild_texts, wild_values

TOKENS: Final = [Token(f"Secret{number:026d}") for number in range(5)]

wild_tokens: SearchStrategy[Any] = st.one_of(st.sampled_from(TOKENS), wild_texts)
wild_grant_ids = st.tuples(wild_integers, wild_integers)
modes, spaces = st.sampled_from(list(Mode)), st.sampled_from(list(Space))

wild_hellos = st.builds(Hello, st.just(PROTOCOL) | wild_integers, wild_texts, wild_tokens, wild_texts)
wild_holders = st.lists(st.builds(Holder, wild_texts, wild_texts, modes), max_size=3)

wild_up_messages = st.one_of(
    wild_hellos,
    st.builds(
        Acquire,
        wild_tokens,
        spaces,
        wild_texts,
        wild_integers,
        wild_integers,
        modes,
        wait=st.booleans(),
        label=wild_texts,
    ),
    st.builds(Yield, wild_tokens, wild_grant_ids),
    st.builds(Raise, wild_tokens, wild_integers),
    st.builds(Renew, wild_tokens, wild_integers),
    st.builds(Release, wild_tokens),
)


def down_messages(
    tokens: SearchStrategy[Any], grant_ids: SearchStrategy[Any], fences: SearchStrategy[int], ttls: SearchStrategy[int]
) -> SearchStrategy[Any]:
    """Give what a node may say about these tokens."""
    about_one = [st.builds(kind, tokens) for kind in (Lost, Revoked, Released, Recovering)]
    return st.one_of(
        st.builds(Granted, tokens, grant_ids, fences, ttls, resent=st.booleans()),
        st.builds(Queued, tokens, wild_holders),
        st.builds(Refused, tokens, wild_holders),
        st.builds(Inquire, tokens, grant_ids),
        st.builds(Raised, tokens, fences),
        st.builds(Renewed, tokens, ttls),
        st.builds(Rejected, tokens, wild_texts, wild_texts),
        *about_one,
    )


wild_greetings = st.one_of(
    st.builds(Welcome, wild_texts, wild_integers, st.sampled_from(list(State))),
    st.builds(Refusal, st.sampled_from(["cluster", "access", "protocol"]) | wild_texts, wild_texts),
)

up_frames = st.builds(UpFrame, wild_integers, st.lists(wild_up_messages, max_size=5))
down_frames = st.builds(
    DownFrame,
    wild_integers,
    wild_integers,
    st.lists(wild_greetings | down_messages(wild_tokens, wild_grant_ids, wild_integers, wild_integers), max_size=5),
)


Change = Callable[[Any], Any]

_CHANGES: Final[list[Change]] = [
    str,
    bool,
    lambda value: [value],
    lambda value: {"": value},
    lambda value: float(value) if isinstance(value, int) else None,
    lambda value: str(value).encode(),
    lambda value: [value, value],
]
_changes = st.sampled_from(_CHANGES) | st.builds(lambda other: lambda _: other, wild_values)


def _rebuilt(frame: UpFrame | DownFrame, path: list[int], change: Change) -> bytes:
    """Return the frame with another value at one place of it; a path longer than the frame is deep ends early."""
    raw: list[Any] = msgspec.msgpack.decode(encode(frame))
    inside: list[Any] = raw
    for step in path[:-1]:
        below = inside[step % len(inside)] if inside else None
        if not isinstance(below, list):
            break
        inside = below
    if inside:
        at = path[-1] % len(inside)
        inside[at] = change(inside[at])
    return msgspec.msgpack.encode(raw)


def _nearly(frames: SearchStrategy[Any]) -> SearchStrategy[bytes]:
    paths = st.lists(st.integers(0, 9), min_size=1, max_size=4)
    wholes = st.builds(encode, frames)
    return st.one_of(
        wholes,
        st.builds(_rebuilt, frames, paths, _changes),
        damaged(wholes),
        spliced(wholes),
        st.binary(max_size=60),
        st.builds(msgspec.msgpack.encode, wild_values),
    )


nearly_up_frames = _nearly(up_frames)
nearly_down_frames = _nearly(down_frames)
