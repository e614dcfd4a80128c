"""The fault proxy breaks a connection the way it says, and works again when that is undone."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import FaultProxy
from tests.support.waiting import until

_DEADLINE = 10.0


class _Connection:
    """Both ends of one connection through the proxy, and what each has heard."""

    def __init__(self) -> None:
        self.client = bytearray()
        self.node = bytearray()
        self.client_writer: asyncio.StreamWriter
        self.node_writer: asyncio.StreamWriter

    async def node_hears(self, text: bytes) -> None:
        await until(lambda: bytes(self.node) == text, f"{text!r} at the node, not {bytes(self.node)!r}")

    async def client_hears(self, text: bytes) -> None:
        await until(lambda: bytes(self.client) == text, f"{text!r} at the client, not {bytes(self.client)!r}")

    async def works(self) -> None:
        """Both ends hear each other."""
        self.client_writer.write(b"up")
        await self.node_hears(b"up")
        self.node_writer.write(b"down")
        await self.client_hears(b"down")

    def abort(self) -> None:
        self.client_writer.transport.abort()
        self.node_writer.transport.abort()


class _Way:
    """Clients of one node, and the proxy between them."""

    def __init__(self) -> None:
        self.proxy = FaultProxy(("127.0.0.1", 0))
        self.connections: list[_Connection] = []
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._listening: list[asyncio.Task[None]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted.put_nowait((reader, writer))

    async def open(self) -> _Connection:
        """Connect a client, and wait until the node knows of it."""
        connection = _Connection()
        async with asyncio.timeout(_DEADLINE):
            reader, connection.client_writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
            at_node, connection.node_writer = await self._accepted.get()
        self.connections.append(connection)
        for end, heard in ((reader, connection.client), (at_node, connection.node)):
            self._listening.append(asyncio.create_task(_listen(end, heard)))
        return connection

    async def close(self) -> None:
        for connection in self.connections:
            connection.abort()
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)


async def _listen(reader: asyncio.StreamReader, heard: bytearray) -> None:
    try:
        while data := await reader.read(1000):
            heard += data
        heard += b"<end>"
    except ConnectionResetError:
        heard += b"<reset>"


@pytest.fixture
async def way() -> AsyncIterator[_Way]:
    way = _Way()
    server = await asyncio.start_server(way.accept, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()) as way.proxy:
        yield way
        await way.close()


async def test_what_comes_passes_in_both_directions_and_the_end_too(way: _Way) -> None:
    connection = await way.open()
    await connection.works()
    connection.client_writer.close()
    await connection.node_hears(b"up<end>")


async def test_a_reset_is_seen_by_both_ends_as_a_reset(way: _Way) -> None:
    connection = await way.open()
    await connection.works()
    way.proxy.reset()
    await connection.node_hears(b"up<reset>")
    await connection.client_hears(b"down<reset>")
    await (await way.open()).works()


async def test_on_a_half_open_connection_nothing_arrives_and_neither_end_is_told(way: _Way) -> None:
    connection = await way.open()
    await connection.works()
    way.proxy.half_open()
    connection.client_writer.write(b"more")
    connection.node_writer.write(b"more")
    await until(lambda: way.proxy.swallowed == 8, "bytes that never arrive")
    connection.client_writer.close()
    await (fresh := await way.open()).client_hears(b"")
    assert (bytes(connection.node), bytes(connection.client), bytes(fresh.node)) == (b"up", b"down<end>", b"")


async def test_a_half_open_connection_whose_client_is_gone_can_be_reset(way: _Way) -> None:
    connection = await way.open()
    way.proxy.half_open()
    client = connection.client_writer
    client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
    way.proxy.whole()
    await (await way.open()).works()
    way.proxy.reset()
    await connection.node_hears(b"<reset>")


async def test_a_connection_that_was_half_open_stays_so_and_a_new_one_works(way: _Way) -> None:
    old = await way.open()
    way.proxy.half_open()
    opened_meanwhile = await way.open()
    way.proxy.whole()
    for connection in (old, opened_meanwhile):
        connection.client_writer.write(b"more")
    await until(lambda: way.proxy.swallowed == 8, "bytes that never arrive")
    await (await way.open()).works()
    assert (bytes(old.node), bytes(opened_meanwhile.node)) == (b"", b"")


async def _holds_up_one_direction_until_it_flows_again(way: _Way, connection: _Connection) -> None:
    connection.client_writer.write(b"late")
    connection.node_writer.write(b"in time")
    await connection.client_hears(b"in time")
    assert bytes(connection.node) == b""
    way.proxy.flow("up")
    await connection.node_hears(b"late")


async def test_a_stall_holds_up_one_direction_only_until_it_flows_again(way: _Way) -> None:
    connection = await way.open()
    way.proxy.stall("up")
    await _holds_up_one_direction_until_it_flows_again(way, connection)


async def test_a_way_stalled_twice_flows_when_both_stalls_are_over(way: _Way) -> None:
    connection = await way.open()
    way.proxy.stall("up", "down")
    way.proxy.stall("up")
    way.proxy.flow("up", "down")
    await _holds_up_one_direction_until_it_flows_again(way, connection)


async def test_a_slow_way_takes_as_much_longer_as_it_was_told(way: _Way) -> None:
    connection = await way.open()
    clock = asyncio.get_running_loop().time
    way.proxy.slow(0.05)
    began = clock()
    await connection.works()
    assert clock() - began >= 0.1
    way.proxy.slow(0.0)
    connection.client_writer.write(b"!")
    await connection.node_hears(b"up!")
