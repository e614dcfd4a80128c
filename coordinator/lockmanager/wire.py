"""The session protocol between a coordinator and a node: one MessagePack frame per event-loop tick.

Up: `[sent, [message, ...]]`, where `sent` is the coordinator's own clock. Down: `[echo, largest ticket seen,
[message, ...]]`, where `echo` is the oldest `sent` any of the decisions in the frame rests on: a grant was made
after the instant the coordinator reads in `echo`, so it may rely on it until `echo + ttl - drift`.

Messages are arrays led by a tag and matched by token; there are no request ids. Durations are whole
microseconds. Nothing here knows of sockets, clocks or rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from hashlib import sha256
from typing import Any, Final, NewType

import msgspec

PROTOCOL: Final = 1
"""Version of this protocol; both sides must speak the same."""

FRAME_LIMIT: Final = 1 << 20
"""Largest frame or HTTP body either side accepts, in bytes."""

SEND_BUFFER_LIMIT: Final = 4 << 20
"""Bytes that may wait for a session which does not read before it is closed."""

Token = NewType("Token", str)
"""The secret that owns one acquisition: 32 characters `[0-9A-Za-z]`."""

TOKEN_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN_LENGTH: Final = 32

GrantId = tuple[int, int]
"""One grant of one node: (incarnation of the node, counter)."""


class Space(IntEnum):
    """Locks of different spaces do not exclude each other."""

    QUORUM = 0
    EFFICIENCY = 1
    NODE = 2


class Mode(IntEnum):
    """How a lease excludes others: shared leases stand together, an exclusive one alone."""

    EXCLUSIVE = 0
    SHARED = 1


class State(IntEnum):
    """What a node says of itself in its welcome."""

    SERVING = 0
    RECOVERING = 1


_SECRETS: Final = frozenset({"token", "session_id"})


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of all messages: an array led by its tag. No representation shows a secret field."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in _SECRETS]


class Hello(_Message, frozen=True, tag=0):
    """The first message of a session. `session_id` is a secret and never shown."""

    protocol: int
    fingerprint: str
    session_id: str
    label: str


class _Owned(_Message, frozen=True):
    """A message that names an acquisition by its token."""

    token: Token


class Acquire(_Owned, frozen=True, tag=1):
    """Ask for a lease; idempotent by token."""

    space: Space
    name: str
    ticket: int
    ttl: int
    mode: Mode
    wait: bool
    label: str


class Yield(_Owned, frozen=True, tag=2):
    """Give that very grant back and stand in line again."""

    grant_id: GrantId


class Raise(_Owned, frozen=True, tag=3):
    """Lift the lease's fence."""

    fence: int


class Renew(_Owned, frozen=True, tag=4):
    """Extend the lease to at least `ttl` from now."""

    ttl: int


class Release(_Owned, frozen=True, tag=5):
    """End the lease or the place in line."""


class Holder(_Message, frozen=True):
    """Somebody a refusal or a queued answer names: a label for people and a hash that cannot be used as a token."""

    label: str
    token_hash: str
    mode: Mode


class Welcome(_Message, frozen=True, tag=16):
    """The node's first message."""

    node: str
    incarnation: int
    state: State


class Granted(_Owned, frozen=True, tag=17):
    """The node's yes. `resent` marks an answer to a repeated acquire: it proves no new bound."""

    grant_id: GrantId
    fence: int
    ttl: int
    resent: bool


class Queued(_Owned, frozen=True, tag=18):
    """The acquisition stands in line behind `holders`; the grant will be pushed."""

    holders: list[Holder]


class Refused(_Owned, frozen=True, tag=19):
    """The acquisition did not want to wait and cannot be granted now."""

    holders: list[Holder]


class Inquire(_Owned, frozen=True, tag=20):
    """Somebody with a smaller ticket waits: give that grant back unless the lock is held."""

    grant_id: GrantId


class Raised(_Owned, frozen=True, tag=21):
    """The lease stands at `fence` here."""

    fence: int


class Renewed(_Owned, frozen=True, tag=22):
    """The lease lasts at least `ttl` from the decision."""

    ttl: int


class Lost(_Owned, frozen=True, tag=23):
    """The token is neither leased nor queued here."""


class Revoked(_Owned, frozen=True, tag=24):
    """An operator ended the lease: it can be renewed no more."""


class Released(_Owned, frozen=True, tag=25):
    """The token is neither leased nor queued here any more."""


class Rejected(_Owned, frozen=True, tag=26):
    """The node will not do this: a limit or bad input, with a stable code and a text for people."""

    code: str
    detail: str


class Recovering(_Owned, frozen=True, tag=28):
    """The node is silent after a start and answers neither yes nor no; an acquire that waits keeps its place here."""


class Refusal(_Message, frozen=True, tag=27):
    """The hello was refused; the node closes the session after it."""

    code: str
    detail: str


UpMessage = Hello | Acquire | Yield | Raise | Renew | Release
DownMessage = (
    Welcome
    | Granted
    | Queued
    | Refused
    | Inquire
    | Raised
    | Renewed
    | Lost
    | Revoked
    | Released
    | Rejected
    | Recovering
    | Refusal
)
Answer = Granted | Queued | Refused | Inquire | Raised | Renewed | Lost | Revoked | Released | Rejected | Recovering
"""What a node says about one token."""


class UpFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """All messages of one coordinator tick to one node."""

    sent: int
    messages: list[UpMessage]


class DownFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """All messages of one node tick to one session."""

    echo: int
    largest_ticket: int
    messages: list[DownMessage]


class MalformedFrame(ValueError):
    """A frame that is not MessagePack of this protocol; says which field was wrong."""


_encoder = msgspec.msgpack.Encoder()
_up_decoder = msgspec.msgpack.Decoder(UpFrame)
_down_decoder = msgspec.msgpack.Decoder(DownFrame)


def encode(frame: UpFrame | DownFrame) -> bytes:
    """Return the frame as MessagePack."""
    return _encoder.encode(frame)


def encode_within_limit(frame: UpFrame | DownFrame) -> Iterator[bytes]:
    """Return the frame as MessagePack, cut into several when one would outgrow what the other side accepts.

    The messages keep their order; all parts carry the same clock.
    """
    data, middle = encode(frame), len(frame.messages) // 2
    if len(data) <= FRAME_LIMIT or not middle:
        yield data
        return
    for part in (frame.messages[:middle], frame.messages[middle:]):
        yield from encode_within_limit(msgspec.structs.replace(frame, messages=part))


def decode_up(data: bytes) -> UpFrame:
    """Read a coordinator's frame; raises MalformedFrame naming the field."""
    try:
        return _up_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedFrame(f"not a frame of protocol {PROTOCOL}: {error}") from None


def decode_down(data: bytes) -> DownFrame:
    """Read a node's frame; raises MalformedFrame naming the field."""
    try:
        return _down_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedFrame(f"not a frame of protocol {PROTOCOL}: {error}") from None


_TOKEN_TABLE: Final = bytes(ord(TOKEN_ALPHABET[byte % len(TOKEN_ALPHABET)]) for byte in range(256))
_BIASED: Final = bytes(range(256 - 256 % len(TOKEN_ALPHABET), 256))


def token_from(random: bytes) -> Token:
    """Make a token of bytes from a cryptographic source; unbiased, so a few bytes are dropped.

    Give 64 bytes: fewer than 32 usable ones among them (ValueError) will not be seen.
    """
    text = random.translate(_TOKEN_TABLE, _BIASED).decode()
    if len(text) < TOKEN_LENGTH:
        raise ValueError(f"{len(random)} random bytes gave {len(text)} characters; a token needs {TOKEN_LENGTH}")
    return Token(text[:TOKEN_LENGTH])


def token_digest(token: Token) -> str:
    """Return the SHA-256 of a token in hex: what nodes tell each other in its place."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def token_hash(token: Token) -> str:
    """Return a short hash that tells tokens apart and cannot be used as one (64 bits of SHA-256)."""
    return short_hash(token_digest(token))


def short_hash(digest: str) -> str:
    """Return what of a token's digest is shown to others."""
    return digest[:16]
