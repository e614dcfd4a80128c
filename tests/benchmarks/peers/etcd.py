"""etcd's locks on three servers, as the `concurrency` package of its Go client does them, over gRPC.

A transaction makes a key below the name, bound to the session's lease, which is kept alive; whose key is the oldest
holds the lock. Everybody else watches the one key before its own until that is deleted. Calls go to the leader, which
is the shortest way, with a deadline each; when one fails it is repeated at the next server, as every step may be done
twice. A watch begins with what comes next, and the key is looked at once more when it has begun: the package lets it
begin with the revision it has read, and a watch that begins in the past is served only every 100 ms by this version of
etcd. A strike hits the leader.

The few messages are encoded here: no maintained Python client fits a current protobuf.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

from ..loops import AsyncSubject
from ..subject import Missing
from .servers import HOST, Servers, free_ports, program

SERVERS: Final = 3
TTL: Final = 60
"""Seconds a session outlives its client."""

_CALL: Final = 1.0
"""Seconds one call may take: a careful user's setting."""

_GIVE_UP: Final = 10.0
_PAUSE: Final = 0.02
_DEADLINE: Final = 20.0
_SETTLED: Final = 0.1
_OLDEST, _NEWEST, _BY_CREATION = 1, 2, 2
_DELETED: Final = 1

Fields = dict[int, Any]


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text_field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Give the fields of a message: numbers and bytes."""
    at = 0

    def read() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        size = read()
        if key & 7 == 0:
            yield key >> 3, size
        else:
            yield key >> 3, data[at : at + size]
            at += size


def _range(key: bytes, end: bytes, order: int, newest: int = 0) -> bytes:
    """Encode a request for the first of some keys, in the order they were made in."""
    wanted = text_field(1, key) + text_field(2, end) + number_field(3, 1)
    wanted += number_field(5, order) + number_field(6, _BY_CREATION)
    return wanted + number_field(13, newest) if newest else wanted


def _ask(prefix: bytes, end: bytes, mine: bytes, lease: int) -> bytes:
    """Encode: make my key unless it is there, and tell when it was made and which key is the oldest."""
    is_new = number_field(2, 1) + text_field(3, mine) + number_field(5, 0)
    put = text_field(2, text_field(1, mine) + number_field(3, lease))
    read_mine = text_field(1, text_field(1, mine))
    read_oldest = text_field(1, _range(prefix, end, _OLDEST))
    makes = text_field(2, put) + text_field(2, read_oldest)
    finds = text_field(3, read_mine) + text_field(3, read_oldest)
    return text_field(1, is_new) + makes + finds


def _asked(answer: bytes) -> tuple[int, bytes]:
    """Return the revision my key was made at, and the oldest key."""
    whole = list(fields(answer))
    first, second = (dict(fields(value)) for number, value in whole if number == 3)
    header = dict(fields(dict(whole)[1]))
    made = header[3] if dict(whole).get(2) else _key_of(first[1])[2]
    return int(made), bytes(_key_of(second[1])[1])


def _key_of(answer: bytes) -> Fields:
    """Return the one key of a range, as its fields; empty when there is none."""
    found = dict(fields(answer)).get(2)
    return {} if found is None else dict(fields(found))


class _Watch:
    """Tells when it has begun, and when its key was deleted or it broke."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    def end(self) -> None:
        self.begun.set()
        self.over.set()


class _Server:
    """The connection to one server, and the watches on it."""

    def __init__(self, address: str) -> None:
        import grpc

        settings = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.keepalive_time_ms", 10_000)]
        self._channel = grpc.aio.insecure_channel(address, options=settings)
        self._end_of_stream = grpc.aio.EOF
        self._calls: dict[str, Any] = {}
        self._ids = count(1)
        self._watches: dict[int, _Watch] = {}
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._watching: asyncio.Task[None] | None = None

    async def call(self, method: str, request: bytes) -> bytes:
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(f"/etcdserverpb.{method}")
        return bytes(await call(request, timeout=_CALL))

    async def keep_alive(self, lease: int) -> None:
        stream = self._channel.stream_stream("/etcdserverpb.Lease/LeaseKeepAlive")(timeout=_CALL)
        await stream.write(number_field(1, lease))
        await stream.read()
        stream.cancel()

    async def gone(self, key: bytes) -> None:
        """Return when a key does not exist any more, or when it is time to look again."""
        number, watch = next(self._ids), _Watch()
        self._watches[number] = watch
        if self._watching is None or self._watching.done():
            self._outbox = asyncio.Queue()
            self._watching = asyncio.create_task(self._watch(self._outbox))
        outbox = self._outbox
        outbox.put_nowait(text_field(1, text_field(1, key) + number_field(7, number)))
        try:
            await watch.begun.wait()
            if _key_of(await self.call("KV/Range", text_field(1, key))):
                await watch.over.wait()
        finally:
            self._watches.pop(number, None)
            outbox.put_nowait(text_field(2, number_field(1, number)))

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._channel.close()

    async def _watch(self, outbox: asyncio.Queue[bytes]) -> None:
        """Let one stream carry all watches; when it breaks everybody looks again."""
        stream = self._channel.stream_stream("/etcdserverpb.Watch/Watch")()
        writing = asyncio.create_task(self._write(stream, outbox))
        try:
            while (message := await stream.read()) is not self._end_of_stream:
                self._tell(list(fields(message)))
        except Exception:  # noqa: BLE001, S110  # those who wait learn it by looking again, which raises
            pass
        finally:
            writing.cancel()
            stream.cancel()
            for watch in self._watches.values():
                watch.end()

    async def _write(self, stream: Any, outbox: asyncio.Queue[bytes]) -> None:
        with suppress(Exception):  # the reader sees it too
            while True:
                await stream.write(await outbox.get())

    def _tell(self, message: list[tuple[int, Any]]) -> None:
        facts = dict(message)
        watch = self._watches.get(facts.get(2, 0))
        if watch is None:
            return
        watch.begun.set()
        events = (dict(fields(value)) for field, value in message if field == 11)
        if facts.get(4) or any(event.get(1) == _DELETED for event in events):
            watch.end()


class Etcd(AsyncSubject):
    """Three servers that keep their data on disk, synced."""

    key = "etcd"
    name = "etcd locks, 3 servers, grpcio"

    def __init__(self) -> None:
        self._processes = Servers()
        self._servers: list[_Server] = []
        self._ids = count(1)
        self._at = self._leader = self._lease = self._on_the_way = 0
        self._failed: type[Exception] = Exception
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        try:
            import grpc
        except ImportError as error:
            raise Missing(str(error)) from None
        self._failed = grpc.RpcError
        ports = self._launch(program("etcd"))

        def probe() -> None:
            for port in ports:
                urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()

        await self._processes.ready(probe)
        self._servers = [_Server(f"{HOST}:{port}") for port in ports]
        for number, server in enumerate(self._servers):
            status = dict(fields(await server.call("Maintenance/Status", b"")))
            if dict(fields(status[1]))[2] == status[4]:
                self._at = self._leader = number
        self._lease = dict(fields(await self._call("Lease/LeaseGrant", number_field(1, TTL))))[2]
        self._keeping = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        servers, self._servers = self._servers, []
        try:
            for server in servers:
                await server.close()
        finally:
            await self._processes.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._processes.pids

    def victim(self) -> int:
        return self.pids[self._leader]

    async def settle(self, newcomers: int) -> None:  # noqa: ARG002  # counts by itself who is on the way
        await asyncio.sleep(_SETTLED)
        async with asyncio.timeout(_DEADLINE):
            while self._on_the_way:  # noqa: ASYNC110  # a counter, looked at outside of what is measured
                await asyncio.sleep(0.01)
        await asyncio.sleep(_SETTLED)

    async def acquire(self, name: str) -> bytes:
        prefix, end = f"{name}/".encode(), f"{name}0".encode()
        mine = prefix + str(next(self._ids)).encode()
        self._on_the_way += 1
        try:
            made, oldest = _asked(await self._call("KV/Txn", _ask(prefix, end, mine, self._lease)))
            while oldest != mine:
                before = _key_of(await self._call("KV/Range", _range(prefix, end, _NEWEST, made - 1)))
                if not before:
                    break
                self._on_the_way -= 1
                try:
                    with suppress(self._failed):  # look again, at the next server
                        await self._servers[self._at].gone(before[1])
                finally:
                    self._on_the_way += 1
        except BaseException:  # raised again: whoever stops waiting leaves the line
            await self.release(mine)
            raise
        finally:
            self._on_the_way -= 1
        return mine

    async def release(self, handle: bytes) -> None:
        await self._call("KV/DeleteRange", text_field(1, handle))

    async def _call(self, method: str, request: bytes) -> bytes:
        """Call the server that answered last; if that fails, the next, until one answers or it has been too long."""
        async with asyncio.timeout(_GIVE_UP):
            while True:
                at = self._at
                try:
                    return await self._servers[at].call(method, request)
                except self._failed:
                    if self._at == at:  # nobody else has moved on yet
                        self._at = (at + 1) % SERVERS
                    await asyncio.sleep(_PAUSE)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(TTL / 6)
            with suppress(self._failed, TimeoutError):  # there are five more before it ends
                await self._servers[self._at].keep_alive(self._lease)

    def _launch(self, program_path: str) -> list[int]:
        """Start the servers; returns the ports for clients."""
        ports = free_ports(2 * SERVERS)
        clients, peers = ports[:SERVERS], ports[SERVERS:]
        cluster = ",".join(f"n{number}=http://{HOST}:{port}" for number, port in enumerate(peers))
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            directory = self._processes.directory(f"n{number}")
            options = {
                "name": f"n{number}",
                "data-dir": str(directory / "data"),
                "listen-client-urls": f"http://{HOST}:{client}",
                "advertise-client-urls": f"http://{HOST}:{client}",
                "listen-peer-urls": f"http://{HOST}:{peer}",
                "initial-advertise-peer-urls": f"http://{HOST}:{peer}",
                "initial-cluster": cluster,
                "initial-cluster-token": "bench",
            }
            self._processes.launch(directory, program_path, *(f"--{key}={value}" for key, value in options.items()))
        return clients
