"""etcd's locks on three servers: the lock service of its v3 API over gRPC, with a lease for each session.

`Lock` makes a key below the name and waits for those made earlier, as the `concurrency` package of the Go client does;
releasing deletes the key. The few messages are encoded here: no maintained Python client fits a current protobuf.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..loops import AsyncSubject
from ..subject import Missing
from .servers import HOST, Servers, free_ports, program

SERVERS: Final = 3
TTL: Final = 3600
"""Seconds: no benchmark lasts as long, so no lease has to be kept alive."""

_KEY: Final = 2
_ID: Final = 2
_DEADLINE: Final = 20.0


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


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
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


class Etcd(AsyncSubject):
    """Three servers that keep their data on disk, synced."""

    key = "etcd"
    name = "etcd locks, 3 servers, grpcio"

    def __init__(self) -> None:
        self._servers = Servers()
        self._channel: Any = None
        self._lock: Any = None
        self._unlock: Any = None
        self._grant: Any = None
        self._idle: list[int] = []

    async def start(self) -> None:
        try:
            import grpc
        except ImportError as error:
            raise Missing(str(error)) from None
        server = program("etcd")
        ports = free_ports(2 * SERVERS)
        clients, peers = ports[:SERVERS], ports[SERVERS:]
        cluster = ",".join(f"n{number}=http://{HOST}:{port}" for number, port in enumerate(peers))
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            directory = self._servers.directory(f"n{number}")
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
            self._servers.launch(directory, server, *(f"--{key}={value}" for key, value in options.items()))

        def probe() -> None:
            for client in clients:
                urllib.request.urlopen(f"http://{HOST}:{client}/health", timeout=2).close()

        await self._servers.ready(probe)
        addresses = ",".join(f"{HOST}:{client}" for client in clients)
        settings = [("grpc.lb_policy_name", "round_robin"), ("grpc.max_concurrent_streams", 4_000)]
        self._channel = grpc.aio.insecure_channel(f"ipv4:{addresses}", options=settings)
        self._lock = self._channel.unary_unary("/v3lockpb.Lock/Lock")
        self._unlock = self._channel.unary_unary("/v3lockpb.Lock/Unlock")
        self._grant = self._channel.unary_unary("/etcdserverpb.Lease/LeaseGrant")

    async def stop(self) -> None:
        channel, self._channel, self._idle = self._channel, None, []
        if channel is not None:
            await channel.close()
        await self._servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._servers.pids

    async def acquire(self, name: str) -> tuple[bytes, int]:
        lease = self._idle.pop() if self._idle else await self._new_lease()
        try:
            answer = await self._lock(text_field(1, name.encode()) + number_field(2, lease))
        except BaseException:
            self._idle.append(lease)
            raise
        return next(
            bytes(value) for number, value in fields(answer) if number == _KEY and isinstance(value, bytes)
        ), lease

    async def release(self, handle: tuple[bytes, int]) -> None:
        key, lease = handle
        await self._unlock(text_field(1, key))
        self._idle.append(lease)

    async def _new_lease(self) -> int:
        """Return a session's lease: of one lease the lock service gives a name's lock to all who ask."""
        async with asyncio.timeout(_DEADLINE):
            answer = await self._grant(number_field(1, TTL))
        return next(value for number, value in fields(answer) if number == _ID and isinstance(value, int))
