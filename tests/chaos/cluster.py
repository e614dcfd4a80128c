"""The nodes under test: real processes, each in a network namespace of its own where the machine permits that.

`silence` is for how many seconds a node is silent that forgot its leases; 0 is the product's own half minute.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, NoReturn, Self
from urllib.parse import urlsplit

import msgspec

from lockmanager.testing import LocalCluster
from lockmanager.testing.process_node import ProcessNode
from lockmanager.topology import Cluster, NodeAddress, render_yaml
from tests.chaos.namespaces import CommandFailed, Namespace, Network, connect, run
from tests.chaos.nursery import Life, Nursery
from tests.chaos.threads import in_thread
from tests.chaos.undertaker import Undertaker

_PORT: Final = 8000
_DEADLINE: Final = 120.0
"""Seconds a node may take to come up, on a machine that has other things to do."""

_POLL: Final = 0.02
_SMALL_DISK: Final = 24 << 20
_SMALL_DISKS: Final = 2
_FILLER: Final = "filler"


class ChaosNode(ProcessNode):
    """One node in one life after the other; `note` is told the process id of each."""

    _process: Life | None  # type: ignore[assignment]  # its lives are watched: narrower than a bare process

    def __init__(
        self,
        cluster: Cluster,
        node: str,
        config: Path,
        data_dir: Path,
        *,
        namespace: Namespace | None,
        nursery: Nursery,
        note: Callable[[int], None],
    ) -> None:
        super().__init__(cluster, node, config, data_dir)
        self._namespace = namespace
        self._nursery = nursery
        self._note = note

    def begin(self) -> None:
        """Start it unless it runs, and wait until it answers, ready or not."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._nursery.begin(self._command()[3:], self._log)
            self._note(self._process.pid)
            self._wait_until("/healthz", _DEADLINE)

    @property
    def status(self) -> int | None:
        """Return with which status it ended by itself; None while it runs, or when it was ended."""
        return None if self._process is None else self._process.poll()

    def said(self) -> str:
        """Return the end of what it wrote in this life."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()

    def limit_files(self, size: int) -> None:
        """Let no file grow beyond so many bytes from now on: a full disk, where none can be mounted."""
        assert self.pid is not None, "only a node that runs can be limited"
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, size))

    def _wait_until(self, path: str, seconds: float) -> None:
        """Ask it inside its namespace, where no partition is in the way; RuntimeError when it ends instead."""
        deadline = time.monotonic() + max(seconds, _DEADLINE)
        while time.monotonic() < deadline and self._process is not None and self.status is None:
            if self.says_yes(path):
                return
            time.sleep(_POLL)
        self.fail_to_come_up()

    def fail_to_come_up(self) -> NoReturn:
        """Raise RuntimeError with what it said."""
        raise RuntimeError(f"{self._node} did not come up on {self._url} (status {self.status}): {self.said()}")

    def says_yes(self, path: str) -> bool:
        """Ask it one question."""
        address = urlsplit(self._url)
        assert address.hostname is not None
        assert address.port is not None
        asked = HTTPConnection(address.hostname, address.port, timeout=1.0)
        try:
            asked.sock = connect(self._namespace, (address.hostname, address.port), 1.0)
            asked.request("GET", path)
            return asked.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            asked.close()


class ChaosCluster(LocalCluster):
    """A cluster of such nodes, on a network of its own or on loopback; where root may mount, some disks are small."""

    def __init__(
        self,
        nodes: int,
        *,
        replicas: int,
        directory: Path,
        network: Network | None,
        undertaker: Undertaker,
        silence: float,
    ) -> None:
        super().__init__(nodes, processes=True, replicas=replicas)
        self._where = directory
        self.members: dict[str, ChaosNode] = {}
        self._network = network
        self._undertaker = undertaker
        self._silence = silence
        self._nurseries: list[Nursery] = []
        self._small: dict[str, Path] = {}
        if network is not None:
            there = tuple(_at_home(node, network) for node in self.cluster.nodes)
            self.cluster = msgspec.structs.replace(self.cluster, nodes=there)

    async def __aenter__(self) -> Self:
        """As its parent's, with all files in the directory it was given."""
        self._directory = tempfile.TemporaryDirectory(prefix="nodes-", dir=self._where)
        self.config_path.write_text(render_yaml(self.cluster), encoding="utf-8")
        self._nodes = {node: self._new_node(node) for node in self.node_ids}
        try:
            await self.start(*self.node_ids)
        except BaseException:  # a cancelled start, too, must leave no process behind; raised again
            await self._end()
            raise
        return self

    @property
    def small_disks(self) -> tuple[str, ...]:
        """Which nodes have a file system of their own, that can be filled."""
        return tuple(self._small)

    async def start(self, *nodes: str, ready: bool = True) -> None:
        """Start nodes; unlike its parent's, this wait ends when it is cancelled, though peers are missing for ever."""
        await super().start(*nodes, ready=False)
        if ready:
            await asyncio.gather(*(self._becomes_ready(self.members[node]) for node in nodes))

    async def _becomes_ready(self, member: ChaosNode) -> None:
        deadline = time.monotonic() + _DEADLINE
        while not await in_thread(member.says_yes, "/readyz"):
            if member.status is not None or time.monotonic() > deadline:
                member.fail_to_come_up()
            await asyncio.sleep(_POLL)

    async def fill_disk(self, node: str, *, spare: int) -> None:
        """Leave so many bytes on a small disk."""
        await in_thread(_fill, self._small[node], spare)

    async def free_disk(self, node: str) -> None:
        """Take away what filled it, if anything did."""
        if node in self._small:
            (self._small[node] / _FILLER).unlink(missing_ok=True)

    def _new_node(self, node: str) -> ChaosNode:
        data = self.data_dir(node)
        if self._network is not None and len(self._small) < _SMALL_DISKS:
            self._mount(node, data)
        namespace = None if self._network is None else self._network.namespace(node)
        nursery, note = Nursery(data.parent, namespace, self._silence), self._undertaker.note_process
        note(nursery.pid)
        self._nurseries.append(nursery)
        where = (self.cluster, node, self.config_path, data)
        self.members[node] = ChaosNode(*where, namespace=namespace, nursery=nursery, note=note)
        return self.members[node]

    def _mount(self, node: str, data: Path) -> None:
        data.mkdir(mode=0o700)
        self._undertaker.note_mount(data)
        with suppress(CommandFailed):  # not every machine lets root mount
            run("mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK},mode=0700", "lmchaos", str(data))
            self._small[node] = data

    async def _end(self) -> None:
        await self.kill(*self.members)
        while self._nurseries:
            self._nurseries.pop().__exit__(None, None, None)
        while self._small:
            run("umount", str(self._small.popitem()[1]))
        await super()._end()


def _at_home(node: NodeAddress, network: Network) -> NodeAddress:
    network.add(node.id)
    return NodeAddress(node.id, f"http://{network.address(node.id)}:{_PORT}")


def _fill(directory: Path, spare: int) -> None:
    with (directory / _FILLER).open("wb") as filler:
        room = os.statvfs(directory)
        os.posix_fallocate(filler.fileno(), 0, max(1, room.f_bavail * room.f_frsize - spare))
