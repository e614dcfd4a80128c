"""What a node says to clients that speak its session protocol wrongly; nobody else notices anything of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType

from lockmanager.wire import (
    FRAME_LIMIT,
    PROTOCOL,
    SEND_BUFFER_LIMIT,
    Acquire,
    Answer,
    DownFrame,
    Granted,
    Hello,
    Lost,
    Mode,
    Raise,
    Refusal,
    Refused,
    Rejected,
    Release,
    Released,
    Renew,
    Renewed,
    Space,
    Token,
    UpMessage,
    Welcome,
    Yield,
    decode_down,
)
from tests.support.node_server import DEADLINE, Node, cluster, eventually, serving

FINGERPRINT: Final = cluster().fingerprint
HELD: Final = Token("h" * 32)
"""The lease that must stand whatever others do."""

_pack = msgspec.msgpack.encode


@dataclass
class Wire:
    """One raw WebSocket to a node."""

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, *messages: object, sent: int = 1) -> None:
        await self.socket.send_bytes(_pack([sent, messages]))

    async def frame(self) -> DownFrame:
        """Wait for the next frame that says something."""
        async with asyncio.timeout(DEADLINE):
            while True:
                message = await self.socket.receive()
                assert message.type is WSMsgType.BINARY, message
                frame = decode_down(message.data)
                if frame.messages:
                    return frame

    async def hello(self, session_id: str = "s" * 32, **changes: Any) -> None:
        """Open the session, which must succeed."""
        await self.send(hello(session_id, **changes))
        assert isinstance((await self.frame()).messages[0], Welcome)

    async def ask(self, *messages: UpMessage) -> list[Answer]:
        """Send messages in one frame, and return the answers to them."""
        await self.send(*messages)
        answers: list[Any] = []
        while len(answers) < len(messages):
            answers += (await self.frame()).messages
        return answers

    async def closed(self) -> tuple[int | None, str]:
        """Wait for the end, and return the close code and its reason."""
        async with asyncio.timeout(DEADLINE):
            message = await self.socket.receive()
            while message.type is WSMsgType.BINARY:
                message = await self.socket.receive()
        return self.socket.close_code, message.extra or ""

    async def refusal(self) -> Refusal:
        """Return the refusal the node sends before it closes."""
        (refusal,) = (await self.frame()).messages
        assert isinstance(refusal, Refusal)
        code, reason = await self.closed()
        assert code == 1001
        assert reason == refusal.detail.encode()[:120].decode()
        return refusal


def hello(session_id: str = "s" * 32, **changes: Any) -> Hello:
    return msgspec.structs.replace(Hello(PROTOCOL, FINGERPRINT, session_id, "tester"), **changes)


def acquire(token: str = "t" * 32, **changes: Any) -> Acquire:
    plain = Acquire(Token(token), Space.QUORUM, "orders", 1, 10_000_000, Mode.EXCLUSIVE, False, "tester")
    return msgspec.structs.replace(plain, **changes)


@asynccontextmanager
async def wire_to(node: Node) -> AsyncIterator[Wire]:
    url = f"http://127.0.0.1:{node.port}/v1/session"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
        yield Wire(socket)


@pytest.fixture
async def wire(node: Node) -> AsyncIterator[Wire]:
    """A raw session to a node on which a lease stands, before and after."""
    node.hold(Space.QUORUM, "held", HELD)
    async with wire_to(node) as wire:
        yield wire
    assert node.stands(HELD)
    async with wire_to(node) as second:
        await second.hello("2" * 32)
        (granted,) = await second.ask(acquire("u" * 32, name="free"))
        assert isinstance(granted, Granted)


# Hello


async def test_another_protocol_is_refused_and_both_are_named(wire: Wire) -> None:
    await wire.send(hello(protocol=PROTOCOL + 1))
    refusal = await wire.refusal()
    assert refusal.code == "protocol"
    assert f"speaks protocol {PROTOCOL}, the client {PROTOCOL + 1}" in refusal.detail


async def test_another_fingerprint_is_refused_and_what_it_covers_is_named(wire: Wire) -> None:
    await wire.send(hello(fingerprint="f" * 64))
    refusal = await wire.refusal()
    assert refusal.code == "cluster"
    assert FINGERPRINT[:12] in refusal.detail
    assert "node ids, replicas and epoch" in refusal.detail


async def test_the_first_message_must_be_hello(wire: Wire) -> None:
    await wire.send(acquire())
    refusal = await wire.refusal()
    assert (refusal.code, refusal.detail) == ("protocol", "the first message of a session must be hello")


async def test_an_empty_first_frame_is_no_hello(wire: Wire) -> None:
    await wire.send()
    assert (await wire.refusal()).code == "protocol"


@pytest.mark.parametrize("session_id", ["", "s" * 31, "s" * 33, "s" * 31 + "!", "ü" * 32])
async def test_a_session_id_that_is_no_token_is_refused_and_not_shown(wire: Wire, session_id: str) -> None:
    await wire.send(hello(session_id))
    refusal = await wire.refusal()
    assert refusal.code == "protocol"
    assert "32 characters" in refusal.detail
    assert not session_id or session_id not in refusal.detail


async def test_a_label_over_the_limit_is_refused(wire: Wire) -> None:
    await wire.send(hello(label="x" * 129))
    refusal = await wire.refusal()
    assert "label is at most 128 bytes" in refusal.detail


async def test_a_second_hello_ends_the_session(wire: Wire) -> None:
    await wire.hello()
    await wire.send(hello())
    assert await wire.closed() == (1001, "a second hello in one session")


async def test_a_second_hello_in_the_first_frame_ends_the_session(wire: Wire) -> None:
    await wire.send(hello(), hello())
    assert await wire.closed() == (1001, "a second hello in one session")


async def test_a_second_connection_of_a_session_replaces_the_first(node: Node, wire: Wire) -> None:
    await wire.hello()
    async with wire_to(node) as again:
        await again.hello()
        assert await wire.closed() == (1001, "replaced by a new connection of the same session")
        (granted,) = await again.ask(acquire())
        assert isinstance(granted, Granted)


async def test_a_session_of_another_key_cannot_be_taken_over() -> None:
    async with serving(cluster(keys=("first key", "second key"))) as node:
        url = f"http://127.0.0.1:{node.port}/v1/session"
        first, second = ({"Authorization": f"Bearer {which} key"} for which in ("first", "second"))
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, headers=first) as mine,
            http.ws_connect(url, headers=second) as thief,
        ):
            await Wire(mine).hello()
            await Wire(thief).send(hello())
            assert (await Wire(thief).refusal()).code == "access"
            (granted,) = await Wire(mine).ask(acquire())
            assert isinstance(granted, Granted)


@pytest.mark.parametrize(("authorization", "status"), [(None, 401), ("Bearer wrong", 403), ("Basic c2VjcmV0", 401)])
async def test_without_a_known_key_there_is_no_session(authorization: str | None, status: int) -> None:
    async with serving(cluster(keys=("the key",))) as node, aiohttp.ClientSession() as http:
        headers = {} if authorization is None else {"Authorization": authorization}
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(f"http://127.0.0.1:{node.port}/v1/session", headers=headers)
        assert caught.value.status == status


# Frames


@pytest.mark.parametrize("greeted", [False, True], ids=["first", "later"])
@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "truncated"),
        (b"\xc1", "malformed"),
        (b"\x93\x01", "truncated"),
        (_pack([1, []]) + b"\x00", "trailing"),
        (_pack({"sent": 1, "messages": []}), "Expected `array`"),
        (_pack(["soon", []]), r"Expected `int`, got `str` - at `$[0]`"),
        (_pack([1, [], 2]), "length 2"),
        (_pack([1, [[99, "x"]]]), "Invalid value 99"),
        (_pack([1, [[4, "t" * 32, "ten"]]]), r"at `$[1][0][2]`"),
        (_pack([1, [[4, "t" * 32, 1.5]]]), "Expected `int`"),
        (_pack([1, [[1, "t" * 32, 7, "n", 1, 1, 0, True, "l"]]]), "Invalid enum value 7"),
        (_pack([1, [[4, "t" * 32]]]), "length"),
        (b"\x92\x01\x91\x93\x04\xa2\xff\xfe\x0a", "utf-8"),
        (b"\x92\x01\x91" + b"\x91" * 5_000, "got `array` - at `$[1][0][0]`"),
    ],
)
async def test_a_broken_frame_is_refused_and_the_field_named(
    wire: Wire, greeted: bool, data: bytes, named: str
) -> None:
    if greeted:
        await wire.hello()
    await wire.socket.send_bytes(data)
    refusal = await wire.refusal()
    assert refusal.code == "protocol"
    assert named.lower() in refusal.detail.lower()


@pytest.mark.parametrize("greeted", [False, True], ids=["first", "later"])
async def test_a_text_frame_is_refused(wire: Wire, greeted: bool) -> None:
    if greeted:
        await wire.hello()
    await wire.socket.send_str("hello")
    assert (await wire.refusal()).detail == "frames are binary MessagePack, this one is text"


@pytest.mark.parametrize("greeted", [False, True], ids=["first", "later"])
async def test_a_frame_over_the_limit_ends_the_session(wire: Wire, greeted: bool) -> None:
    if greeted:
        await wire.hello()
    await wire.socket.send_bytes(bytes(FRAME_LIMIT + 1))
    code, _ = await wire.closed()
    assert code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_frame_of_the_limit_is_read(wire: Wire) -> None:
    await wire.hello()
    releases = [Release(Token("r" * 32))] * ((FRAME_LIMIT - 100) // len(_pack(Release(Token("r" * 32)))))
    assert len(await wire.ask(*releases)) == len(releases)


async def test_a_connection_that_breaks_off_mid_frame_is_forgotten(node: Node, wire: Wire) -> None:
    upgrade = (
        b"GET /v1/session HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await node.raw_partial(upgrade + b"\x82\xfe\x10\x00half a frame")


# Requests


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"token": "short"}, "token", "32 characters"),
        ({"token": "!" * 32}, "token", "0-9, A-Z and a-z"),
        ({"name": ""}, "name", "this one has 0"),
        ({"name": "ü" * 128}, "name", "this one has 256"),
        ({"label": "x" * 129}, "label", "this one has 129"),
        ({"ttl": 0}, "ttl", "this one is 0 s"),
        ({"ttl": -1}, "ttl", "0.1 s to"),
        ({"ttl": 2**63}, "ttl", "2.592e+06 s"),
        ({"ticket": 0}, "ticket", "positive"),
        ({"ticket": -5}, "ticket", "positive"),
        ({"ticket": 1_700_000_000_000_000 + 2 * 86_400_000_000}, "ticket", "ahead of this node's wall clock"),
        ({"ticket": 2**64 - 1}, "ticket", "ahead"),
        ({"space": Space.NODE}, "space", "use HTTP"),
    ],
)
async def test_a_request_over_a_limit_is_rejected_by_the_name_of_its_field(
    node: Node, wire: Wire, changes: dict[str, Any], code: str, named: str
) -> None:
    await wire.hello()
    asked = acquire(**changes)
    rejected, granted = await wire.ask(asked, acquire("v" * 32, name="next"))
    assert isinstance(rejected, Rejected)
    assert (rejected.token, rejected.code) == (asked.token, code)
    assert named in rejected.detail
    assert asked.token not in rejected.detail
    assert isinstance(granted, Granted), "the session goes on"
    assert node.table.lease(asked.token) is None


async def test_a_renewal_or_fence_over_a_limit_is_rejected_and_the_lease_stands(node: Node, wire: Wire) -> None:
    await wire.hello()
    (granted,) = await wire.ask(acquire())
    token = granted.token
    renewed, raised = await wire.ask(Renew(token, 31 * 86_400_000_000), Raise(token, 2**53))
    assert isinstance(renewed, Rejected)
    assert renewed.code == "ttl"
    assert isinstance(raised, Rejected)
    assert raised.code == "fence"
    assert node.stands(token)
    assert await wire.ask(Renew(token, 20_000_000)) == [Renewed(token, 20_000_000)]


async def test_tokens_nobody_knows_change_nothing(wire: Wire) -> None:
    await wire.hello()
    stranger = Token("x" * 32)
    answers = await wire.ask(
        Renew(stranger, 10_000_000), Yield(stranger, (1, 1)), Raise(stranger, 7), Release(stranger), Release(stranger)
    )
    assert answers == [Lost(stranger)] * 3 + [Released(stranger)] * 2


async def test_a_lock_that_is_held_is_not_given_to_a_guesser(wire: Wire) -> None:
    await wire.hello()
    refused, *_ = await wire.ask(acquire(name="held"))
    assert isinstance(refused, Refused)
    (holder,) = refused.holders
    assert HELD not in repr(msgspec.to_builtins(refused))
    answers = await wire.ask(Release(Token(holder.token_hash)), Release(Token(holder.label)))
    assert [type(answer) for answer in answers] == [Released, Released]


async def test_a_token_cannot_be_used_for_two_locks(wire: Wire) -> None:
    await wire.hello()
    granted, rejected = await wire.ask(acquire(), acquire(name="another"))
    assert isinstance(granted, Granted)
    assert isinstance(rejected, Rejected)
    assert rejected.code == "token"


# A session that does not read


async def test_a_session_that_does_not_read_is_closed_when_too_much_waits_for_it(node: Node, wire: Wire) -> None:
    await wire.hello()
    readers = [acquire(f"{n:032}", name="read", mode=Mode.SHARED, label="r" * 128) for n in range(16)]
    await wire.ask(*readers)
    refused = _pack([1, [acquire(name="read", label="")] * 1_500])
    answer = len(_pack((await wire.ask(acquire(name="read")))[0]))
    frames = 4 * SEND_BUFFER_LIMIT // (1_500 * answer)
    assert wire.socket._conn is not None
    transport = wire.socket._conn.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    for _ in range(frames):
        await wire.socket.send_bytes(refused)
    await eventually(lambda: not node.service._recipients)
    transport.abort()
