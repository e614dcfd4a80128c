"""PostgreSQL's advisory locks on one server, by psycopg in threads, one connection each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from ..subject import Missing
from ..threads import ThreadSubject
from .servers import HOST, Servers, free_ports, program

_CONNECTIONS: Final = 1_200


class Postgres(ThreadSubject):
    """One server."""

    key = "postgres"
    name = "PostgreSQL advisory locks, 1 server, psycopg"

    def __init__(self) -> None:
        super().__init__()
        self._servers = Servers("postgres")
        self._port = 0

    async def start(self) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise Missing(str(error)) from None
        server, install = _programs()
        directory = self._servers.directory("server")
        data, self._port = directory / "data", free_ports(1)[0]
        await self._servers.set_up(install, "-D", str(data), "-U", "bench", "-A", "trust", "-N")
        options = {
            "listen_addresses": HOST,
            "port": str(self._port),
            "unix_socket_directories": str(directory),
            "max_connections": str(_CONNECTIONS),
            "shared_buffers": "64MB",
            "fsync": "off",
            "deadlock_timeout": "1h",  # or each of a thousand waiters looks through the whole line after a second
        }
        self._servers.launch(
            directory, server, "-D", str(data), *(f"-c{key}={value}" for key, value in options.items())
        )
        await self._servers.ready(lambda: self.connect().close())

    async def stop(self) -> None:
        await self.close_connections()
        await self._servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._servers.pids

    def connect(self) -> Any:
        import psycopg

        connection = psycopg.connect(host=HOST, port=self._port, user="bench", dbname="postgres", autocommit=True)
        return _Connection(connection)

    def acquire(self, connection: Any, name: str) -> None:
        connection.run("SELECT pg_advisory_lock(%s)", name)

    def release(self, connection: Any, name: str) -> None:
        connection.run("SELECT pg_advisory_unlock(%s)", name)


def _programs() -> tuple[str, str]:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return program("postgres", *places), program("initdb", *places)


class _Connection:
    """A connection with one cursor, whose statements are prepared."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def run(self, statement: str, name: str) -> None:
        self._cursor.execute(statement, (crc32(name.encode()),), prepare=True)

    def close(self) -> None:
        self._connection.close()
