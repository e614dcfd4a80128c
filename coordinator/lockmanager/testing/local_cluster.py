"""Starts, stops, kills and pauses the nodes of one local cluster."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..coordinator import Coordinator
from ..topology import Cluster, NodeAddress, render_yaml
from .process_node import ProcessNode
from .thread_node import ThreadNode

if TYPE_CHECKING:
    from .process_node import LocalNode

_DEADLINE: Final = 90.0
"""Seconds one call may take: a node that forgot its leases is silent for half a minute."""

_PORTS: Final = range(20_000, 32_000)
"""Below the ports the system gives to outgoing connections, which could take a stopped node's port."""

_given: Final[set[int]] = set()
"""Ports that clusters of this process have got."""


class LocalCluster:
    """`nodes` lock nodes, named node1, node2, ..., as threads of this process or as child processes.

    `replicas` and `epoch` as in a cluster.yaml. `cluster` describes it; `config_path` is its `cluster.yaml`,
    deleted at the end, as are the nodes and their journals. A node that was stopped or killed comes back with its
    leases; without a `journal`, or after `wipe`, it comes back empty and stays silent for half a minute first.
    """

    def __init__(
        self, nodes: int = 3, *, processes: bool = False, replicas: int = 0, epoch: int = 1, journal: bool = True
    ) -> None:
        ports = free_ports(nodes)
        addresses = tuple(
            NodeAddress(id=f"node{number}", url=f"http://127.0.0.1:{port}") for number, port in enumerate(ports, 1)
        )
        self.cluster = Cluster(name="local", nodes=addresses, replicas=replicas, epoch=epoch)
        self._processes = processes
        self._journal = journal
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._nodes: dict[str, LocalNode] = {}

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The ids of all nodes."""
        return self.cluster.node_ids

    @property
    def urls(self) -> dict[str, str]:
        """Where each node listens."""
        return {node: self.cluster.url(node, "internal") for node in self.node_ids}

    @property
    def config_path(self) -> Path:
        """The cluster's `cluster.yaml`; raises RuntimeError outside `async with`."""
        if self._directory is None:
            raise RuntimeError("the local cluster is not open: use it inside `async with LocalCluster(...)`")
        return Path(self._directory.name) / "cluster.yaml"

    def coordinator(self, **options: Any) -> Coordinator:
        """Return a new coordinator of this cluster; `options` as for `Coordinator`."""
        return Coordinator(self.cluster, **options)

    async def __aenter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="lockmanager-")
        self.config_path.write_text(render_yaml(self.cluster), encoding="utf-8")
        self._nodes = {node: self._new_node(node) for node in self.node_ids}
        try:
            await self._each(self.node_ids, "start")
        except BaseException:  # a cancellation too: it goes on, and no node is left running
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def start(self, *nodes: str, ready: bool = True) -> None:
        """Start nodes that do not run; returns when they are ready, which takes half a minute after `wipe`.

        With `ready=False` it returns as soon as they answer. Raises RuntimeError when one does not come up.
        """
        await self._each(nodes, "start" if ready else "begin")

    async def stop(self, *nodes: str) -> None:
        """Stop nodes as SIGTERM does: they tell their sessions to go elsewhere."""
        await self._each(nodes, "stop")

    async def kill(self, *nodes: str) -> None:
        """End nodes at once, as SIGKILL does: connections break, what was not answered may be forgotten."""
        await self._each(nodes, "kill")

    async def pause(self, *nodes: str) -> None:
        """Make nodes stand still, as SIGSTOP does: connections stay open and nothing is answered."""
        await self._each(nodes, "pause")

    async def resume(self, *nodes: str) -> None:
        """Let paused nodes go on, as SIGCONT does."""
        await self._each(nodes, "resume")

    async def wipe(self, *nodes: str) -> None:
        """Take away the disks of nodes that do not run, journals and all."""
        for node in nodes:
            await asyncio.to_thread(shutil.rmtree, self.data_dir(node), ignore_errors=True)

    def data_dir(self, node: str) -> Path:
        """Return where a node keeps its journal; raises RuntimeError outside `async with`."""
        return self.config_path.parent / f"{node}.data"

    def _new_node(self, node: str) -> LocalNode:
        data_dir = self.data_dir(node) if self._journal else None
        if self._processes:
            return ProcessNode(self.cluster, node, self.config_path, data_dir)
        return ThreadNode(self.cluster, node, data_dir)

    async def _each(self, nodes: Collection[str], verb: str) -> None:
        """Do the same with several nodes at once, off the event loop."""
        unknown = [node for node in nodes if node not in self._nodes]
        if unknown:
            raise ValueError(f"no node {unknown[0]!r} runs in this local cluster; there are {', '.join(self.node_ids)}")
        if not nodes:
            return
        # A pool of our own: nodes wait for each other to come up, and the loop's may have fewer threads than we nodes.
        pool, loop = ThreadPoolExecutor(len(nodes)), asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, getattr(self._nodes[node], verb)) for node in nodes]
        pool.shutdown(wait=False)
        try:
            await asyncio.shield(asyncio.wait(threads, timeout=_DEADLINE))
        except asyncio.CancelledError:
            # A thread cannot be cancelled: whoever goes on must find every node either up or down.
            await asyncio.wait(threads, timeout=_DEADLINE)
            raise
        for thread in threads:
            thread.result()

    async def _end(self) -> None:
        await asyncio.shield(asyncio.gather(*(asyncio.to_thread(node.kill) for node in self._nodes.values())))
        self._nodes = {}
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None


def free_ports(count: int) -> list[int]:
    """Return loopback ports nobody listens on now; raises RuntimeError when there are not enough.

    None is given twice while others are left: the port of a node that is stopped, or is yet to start, looks free.
    """
    found: list[int] = []
    for port in _in_any_order():
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    if len(found) < count:
        raise RuntimeError(f"fewer than {count} free ports from {_PORTS.start} to {_PORTS.stop - 1} on 127.0.0.1")
    _given.update(found)
    return found


def _in_any_order() -> list[int]:
    """Return all ports, those that were never given first; when few of them are left all are as good again."""
    if len(_PORTS) - len(_given) < len(_PORTS) // 4:
        _given.clear()
    fresh = [port for port in _PORTS if port not in _given]
    given = [port for port in _PORTS if port in _given]
    return random.sample(fresh, len(fresh)) + random.sample(given, len(given))


def _is_free(port: int) -> bool:
    """Say whether nobody listens on a loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
