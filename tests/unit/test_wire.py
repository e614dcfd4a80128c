"""The session protocol: every message travels whole, and nothing else is taken for one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from lockmanager import wire
from lockmanager.wire import (
    Acquire,
    DownFrame,
    Granted,
    Hello,
    Holder,
    Inquire,
    Lost,
    MalformedFrame,
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
    decode_down,
    decode_up,
    encode,
    token_from,
    token_hash,
)

SECRET = Token("Secret" + "0" * 26)
HOLDER = Holder("ann@host", "0123456789abcdef", Mode.SHARED)
UP: list[wire.UpMessage] = [
    Hello(1, "fingerprint", SECRET, "ann@host"),
    Acquire(
        SECRET, Space.QUORUM, "orders/42 é🔒", 1_700_000_000_000_000, 10_000_000, Mode.SHARED, wait=True, label="ann"
    ),
    Yield(SECRET, (7, 1)),
    Raise(SECRET, (1 << 53) - 1),
    Renew(SECRET, 10_000_000),
    Release(SECRET),
]
DOWN: list[wire.DownMessage] = [
    Welcome("node1", (1 << 62) + 1, State.RECOVERING),
    Granted(SECRET, (7, 1), 42, 10_000_000, resent=False),
    Queued(SECRET, [HOLDER, HOLDER]),
    Refused(SECRET, []),
    Inquire(SECRET, (7, 1)),
    Raised(SECRET, 42),
    Renewed(SECRET, 10_000_000),
    Lost(SECRET),
    Revoked(SECRET),
    Released(SECRET),
    Rejected(SECRET, "ttl", "too long"),
    Refusal("cluster", "another fingerprint"),
    Recovering(SECRET),
]
each_message = pytest.mark.parametrize("message", [*UP, *DOWN], ids=lambda message: type(message).__name__)
each_decoder = pytest.mark.parametrize("decode", [decode_up, decode_down])


def packed(*parts: Any) -> bytes:
    return msgspec.msgpack.encode(parts)


def complaint(data: bytes, decode: Callable[[bytes], object] = decode_up) -> str:
    with pytest.raises(MalformedFrame) as caught:
        decode(data)
    return str(caught.value)


def test_every_message_of_the_protocol_is_among_the_samples() -> None:
    assert {type(message) for message in UP} == set(get_args(wire.UpMessage))
    assert {type(message) for message in DOWN} == set(get_args(wire.DownMessage))


def test_all_messages_travel_up_in_one_frame_unchanged() -> None:
    frame = UpFrame(123_456_789, UP)
    assert decode_up(encode(frame)) == frame


def test_all_messages_travel_down_in_one_frame_unchanged() -> None:
    frame = DownFrame(123_456_789, 1_700_000_000_000_000, DOWN)
    assert decode_down(encode(frame)) == frame


def test_an_empty_frame_is_a_heartbeat() -> None:
    assert decode_up(encode(UpFrame(5, []))) == UpFrame(5, [])
    assert decode_down(encode(DownFrame(5, 6, []))) == DownFrame(5, 6, [])


def test_the_tags_are_what_protocol_1_says() -> None:
    """A changed tag is another protocol: raise the version with it."""
    assert wire.PROTOCOL == 1
    assert [fields(message)[0] for message in [*UP, *DOWN]] == [*range(6), *range(16, 29)]


def test_frames_are_small() -> None:
    assert len(encode(UpFrame(123_456_789_012, [Release(SECRET)]))) < 50


@each_message
def test_no_representation_shows_a_token_or_a_session_id(message: Any) -> None:
    texts = [repr(message), str(message), f"{message}", repr(UpFrame(1, [message])), repr(DownFrame(1, 1, [message]))]
    rich = list(message.__rich_repr__())
    assert not any("Secret" in text for text in [*texts, repr(rich)])


def test_a_representation_shows_everything_else() -> None:
    assert repr(Raise(SECRET, 42)) == "Raise(fence=42)"
    assert list(Raise(SECRET, 42).__rich_repr__()) == [("fence", 42)]
    assert repr(UP[0]) == "Hello(protocol=1, fingerprint='fingerprint', label='ann@host')"


def test_a_token_hash_tells_tokens_apart_and_is_none() -> None:
    other = Token("Secret" + "1" * 26)
    assert token_hash(SECRET) == token_hash(Token(str(SECRET)))
    assert token_hash(SECRET) != token_hash(other)
    assert re.fullmatch("[0-9a-f]{16}", token_hash(SECRET))
    assert token_hash(Token("\ud800"))


def test_random_bytes_become_tokens_in_which_every_character_is_as_likely() -> None:
    drawn = Counter("".join(token_from(bytes([byte] * 32))[0] for byte in range(248)))
    assert drawn == dict.fromkeys(wire.TOKEN_ALPHABET, 4)
    for byte in range(248, 256):
        with pytest.raises(ValueError, match="32 random bytes gave 0 characters"):
            token_from(bytes([byte] * 32))


def test_a_token_is_32_characters_however_many_bytes_it_is_made_of() -> None:
    assert token_from(bytes(range(64))) == token_from(bytes([255, *range(33)])) == wire.TOKEN_ALPHABET[:32]


def fields(message: Any) -> list[Any]:
    raw: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    return raw


def frame_with(message: list[Any], *, down: bool) -> bytes:
    return packed(1, 1, [message]) if down else packed(1, [message])


def complaint_about(message: Any, changed: list[Any]) -> str:
    down = type(message) in get_args(wire.DownMessage)
    return complaint(frame_with(changed, down=down), decode_down if down else decode_up)


@each_message
def test_a_message_with_a_field_too_many_names_its_place(message: Any) -> None:
    text = complaint_about(message, [*fields(message), 0])
    assert "at most length" in text
    assert re.search(r"at `\$\[[12]\]\[0\]`", text)


@each_message
def test_a_message_with_a_field_too_few_names_its_place(message: Any) -> None:
    text = complaint_about(message, fields(message)[:-1])
    assert "at least length" in text
    assert re.search(r"at `\$\[[12]\]\[0\]`", text)


@each_message
def test_a_field_of_the_wrong_type_is_named_by_its_place_and_never_shown(message: Any) -> None:
    raw = fields(message)
    for position in range(1, len(raw)):
        for wrong in ({"Secret": "Secret"}, None, 1.5, b"Secret"):
            text = complaint_about(message, [*raw[:position], wrong, *raw[position + 1 :]])
            assert re.search(rf"at `\$\[[12]\]\[0\]\[{position}\]`", text), text
            assert "Secret" not in text


@each_message
def test_a_number_where_text_belongs_and_text_where_a_number_belongs_are_refused(message: Any) -> None:
    raw = fields(message)
    for position in range(1, len(raw)):
        wrong = 5 if isinstance(raw[position], str | bool | list) else "Secret"
        text = complaint_about(message, [*raw[:position], wrong, *raw[position + 1 :]])
        assert re.search(rf"at `\$\[[12]\]\[0\]\[{position}\]`", text), text
        assert "Secret" not in text


@pytest.mark.parametrize(("position", "value"), [(2, 3), (2, -1), (6, 2)])
def test_an_unknown_space_or_mode_is_refused(position: int, value: int) -> None:
    raw = fields(UP[1])
    raw[position] = value
    assert f"Invalid enum value {value} - at `$[1][0][{position}]`" in complaint_about(UP[1], raw)


@each_decoder
def test_an_unknown_tag_is_refused_and_named(decode: Callable[[bytes], object]) -> None:
    text = complaint(frame_with([99, SECRET], down=decode is decode_down), decode)
    assert "Invalid value 99" in text
    assert "[0][0]`" in text


def test_messages_do_not_travel_in_the_wrong_direction() -> None:
    for message in DOWN:
        assert "Invalid value" in complaint(frame_with(fields(message), down=False), decode_up)
    for request in UP:
        assert "Invalid value" in complaint(frame_with(fields(request), down=True), decode_down)


@each_decoder
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x92",
        b"\x92\x01",
        b"not messagepack at all",
        b"\xdd\xff\xff\xff\xff",
        packed(),
        packed(1, [], [], []),
        packed("1", []),
        packed(1, 1, {"0": []}),
        packed(1, {"0": []}),
        packed(1, 1, ["text"]),
        packed(1, ["text"]),
        packed(1, 1, [[]]),
        packed(1, [[]]),
        msgspec.msgpack.encode({"sent": 1, "messages": []}),
        packed(1, []) + b"\x00",
        packed(1, 1, []) + b"\x00",
        b"\x91" * 100_000 + b"\x90",
        b"\x92\x01" + b"\x91" * 100_000 + b"\x90",
        b"\x93\x01\x01" + b"\x91" * 100_000 + b"\x90",
        b"\x81\xa1a" * 100_000 + b"\x90",
    ],
    ids=range(22),
)
def test_what_is_no_frame_is_malformed_and_nothing_worse(data: bytes, decode: Callable[[bytes], object]) -> None:
    assert complaint(data, decode).startswith("not a frame of protocol 1: ")


def test_every_truncation_of_a_frame_is_malformed() -> None:
    data = encode(UpFrame(123_456_789, UP))
    for length in range(len(data)):
        complaint(data[:length])


def test_text_that_is_not_utf8_is_malformed_and_the_byte_is_named() -> None:
    data = frame_with(fields(UP[1]), down=False).replace("é".encode(), b"\xff\xfe")
    assert "byte 0xff in position 10" in complaint(data)
    assert "Secret" not in complaint(data)


def test_the_cause_of_a_malformed_frame_does_not_drag_its_content_along() -> None:
    with pytest.raises(MalformedFrame) as caught:
        decode_up(packed(1, [[5, SECRET, SECRET]]))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
