"""Whatever bytes arrive, the reader of frames gives a frame that says the same again, or calls them malformed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import event
from hypothesis import strategies as st

from lockmanager import wire
from lockmanager.wire import DownFrame, MalformedFrame, UpFrame, decode_down, decode_up, encode, encode_within_limit

from .frames import TOKENS, down_frames, nearly_down_frames, nearly_up_frames, up_frames
from .properties import holds, tried

Decode = Callable[[bytes], UpFrame | DownFrame]


def _reads_or_refuses(decode: Decode, data: bytes) -> None:
    frame = tried(lambda: decode(data), MalformedFrame)
    if isinstance(frame, MalformedFrame):
        event("malformed")
        assert str(frame).startswith("not a frame of protocol 1: ")
        assert not any(token in str(frame) for token in TOKENS)
        return
    event("a frame")
    again = encode(frame)
    assert decode(again) == frame
    assert _plain(data) == _plain(again), "the frame does not say what the bytes said"


def _plain(data: bytes) -> str:
    """Return what MessagePack says without our types, in words that tell 1 from 1.0 and True."""
    return repr(msgspec.msgpack.decode(data))


@holds("decoder", examples=200, data=nearly_up_frames)
def test_what_a_coordinator_may_send_is_read_or_malformed(world: None, data: bytes) -> None:
    _reads_or_refuses(decode_up, data)


@holds("decoder", examples=200, data=nearly_down_frames)
def test_what_a_node_may_send_is_read_or_malformed(world: None, data: bytes) -> None:
    _reads_or_refuses(decode_down, data)


@holds("decoder", examples=80, frame=up_frames | down_frames)
def test_a_frame_that_is_sent_arrives_unchanged(world: None, frame: UpFrame | DownFrame) -> None:
    decode: Decode = decode_up if isinstance(frame, UpFrame) else decode_down
    assert decode(encode(frame)) == frame
    assert not any(token in repr(frame) for token in TOKENS if token not in _shown(frame))


def _shown(frame: UpFrame | DownFrame) -> str:
    """Return the fields that may be shown, which may hold the text of a token by chance."""
    return repr([message.__rich_repr__() for message in frame.messages])


@holds("decoder", examples=50, frame=up_frames | down_frames, limit=st.integers(20, 400))
def test_a_frame_cut_to_the_limit_says_the_same_in_the_same_order(
    world: None, frame: UpFrame | DownFrame, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "FRAME_LIMIT", limit)
        parts = list(encode_within_limit(frame))
    decode: Decode = decode_up if isinstance(frame, UpFrame) else decode_down
    read = [decode(part) for part in parts]
    assert [message for part in read for message in part.messages] == list(frame.messages)
    assert all(len(data) <= limit or len(part.messages) <= 1 for data, part in zip(parts, read, strict=True))
