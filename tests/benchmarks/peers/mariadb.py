"""MariaDB's GET_LOCK and RELEASE_LOCK on one server, by mysqlclient in threads, one connection each.

What LockManager's first version was modelled on. One server: there is no majority, and it does not outlive its death.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..subject import Missing
from ..threads import ThreadSubject
from .servers import HOST, Servers, free_ports, program

_FOR_EVER: Final = 3600
_CONNECTIONS: Final = 2_200


class MariaDB(ThreadSubject):
    """One server."""

    key = "mariadb"
    name = "MariaDB GET_LOCK, 1 server, mysqlclient"

    def __init__(self) -> None:
        super().__init__()
        self._servers = Servers("mysql")
        self._socket = ""
        self._port = 0

    async def start(self) -> None:
        try:
            import MySQLdb  # noqa: F401
        except ImportError as error:
            raise Missing(str(error)) from None
        server, install = program("mariadbd"), program("mariadb-install-db")
        directory = self._servers.directory("server")
        data, self._port = directory / "data", free_ports(1)[0]
        await self._servers.set_up(
            install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"
        )
        self._servers.launch(
            directory,
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={directory / 'server.sock'}",
            f"--bind-address={HOST}",
            f"--port={self._port}",
            f"--max-connections={_CONNECTIONS}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=32M",
        )
        await self._servers.ready(lambda: self.connect().close())

    async def stop(self) -> None:
        await self.close_connections()
        await self._servers.stop()

    @property
    def pids(self) -> Sequence[int]:
        return self._servers.pids

    def connect(self) -> Any:
        import MySQLdb

        return MySQLdb.connect(host=HOST, port=self._port, user="root", autocommit=True)

    def acquire(self, connection: Any, name: str) -> None:
        connection.query(f"SELECT GET_LOCK('{name}', {_FOR_EVER})")
        ((granted,),) = connection.store_result().fetch_row()
        if granted != 1:
            raise RuntimeError(f"GET_LOCK answered {granted!r}")

    def release(self, connection: Any, name: str) -> None:
        connection.query(f"SELECT RELEASE_LOCK('{name}')")
        connection.store_result()
