"""A lock node in a thread of this process, with an event loop of its own that can be made to stand still."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..topology import Cluster
from .process_node import READY_DEADLINE

if TYPE_CHECKING:
    from lockmanager_node.web.app import Server

_DEADLINE: Final = 15.0
_POLL: Final = 0.005


class ThreadNode:
    """Runs one node of a cluster in a thread."""

    def __init__(self, cluster: Cluster, node: str, data_dir: Path | None) -> None:
        self._cluster = cluster
        self._node = node
        self._data_dir = data_dir
        self._life: _Life | None = None

    def start(self) -> None:
        """Start it unless it runs, and wait until it is ready."""
        self.begin()
        if self._life is not None:
            self._life.wait_until_ready()

    def begin(self) -> None:
        """Start it unless it runs, and wait until it answers, ready or not."""
        if self._life is None or self._life.over:
            self._life = _Life(self._cluster, self._node, self._data_dir)
            self._life.begin()

    def stop(self) -> None:
        self._end(abruptly=False)

    def kill(self) -> None:
        self._end(abruptly=True)

    def pause(self) -> None:
        if self._life is not None:
            self._life.pause()

    def resume(self) -> None:
        if self._life is not None:
            self._life.resume()

    def _end(self, *, abruptly: bool) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.end(abruptly=abruptly)


class _Life:
    """One run of the node, from start to end."""

    def __init__(self, cluster: Cluster, node: str, data_dir: Path | None) -> None:
        self._cluster = cluster
        self._node = node
        self._data_dir = data_dir
        self._server: Server | None = None
        self._up = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._abruptly = False
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=f"lock node {node}", daemon=True)

    def begin(self) -> None:
        self._thread.start()
        self._up.wait(_DEADLINE)
        if self._end is None or self._failure is not None:
            raise RuntimeError(f"{self._node} did not come up: {self._failure or 'too slow'}")

    @property
    def over(self) -> bool:
        """Whether it has ended, by itself perhaps."""
        return not self._thread.is_alive()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_DEADLINE
        while self._server is not None and not self._server.context.service.ready:
            if time.monotonic() > deadline or self.over:
                reason = self._server.context.service.readiness.reason
                raise RuntimeError(f"{self._node} is not ready: {reason or self._failure}")
            time.sleep(_POLL)

    def pause(self) -> None:
        """Block the node's event loop; returns when it stands still."""
        if self._loop is not None and self._go_on.is_set():
            standing = threading.Event()
            self._go_on.clear()
            self._loop.call_soon_threadsafe(self._stand_still, standing)
            standing.wait(_DEADLINE)

    def resume(self) -> None:
        self._go_on.set()

    def end(self, *, abruptly: bool) -> None:
        """End the node and its thread; a paused one goes on first, but is told its end before it reads anything."""
        self._abruptly = abruptly
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._go_on.set()
        self._thread.join(_DEADLINE)

    def _stand_still(self, standing: threading.Event) -> None:
        standing.set()
        self._go_on.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # told to whoever starts the node
            self._failure = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        from lockmanager_node.journal import DiskJournal
        from lockmanager_node.waking import owner
        from lockmanager_node.web.app import Server
        from lockmanager_node.web.life import create_context

        address = urlsplit(self._cluster.url(self._node, "internal"))
        listener = socket.create_server((address.hostname or "", address.port or 0), backlog=1024)
        journal = None
        if self._data_dir is not None:
            journal = await asyncio.to_thread(DiskJournal, self._data_dir, owner(self._cluster, self._node))
        self._server = server = Server(create_context(self._cluster, self._node, journal=journal))
        await server.start(listener)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._up.set()
        ends = [asyncio.create_task(event.wait()) for event in (self._end, server.failed)]
        # No deadline: it runs until it is told to end, or its journal fails.
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await (server.crash() if self._abruptly else server.stop())
