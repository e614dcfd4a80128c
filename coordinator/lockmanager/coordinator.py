"""The library's face: a coordinator that acquires locks from the nodes of one cluster."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from .acquiring import Wish, acquire_efficiency, acquire_quorum
from .checks import checked_label, checked_name, checked_ttl, checked_wait
from .cleaning import to_its_end
from .clock import Clock, SystemClock
from .discovery import ClusterDocuments, read_cluster_file
from .engine import Engine, Randomness, SystemRandomness
from .errors import ConfigurationError
from .failover import Breakers
from .inspection import LockReport, inspect_lock
from .lease import Lease, LockContext, OnLost
from .topology import Cluster
from .transport import Connector, WebSocketConnector
from .wire import Mode

_NETWORKS = ("internal", "public")


@dataclass(frozen=True, slots=True)
class _ClusterAt:
    """A cluster known only by one node's URL so far."""

    url: str


class Coordinator:
    """Acquires locks from a majority of a cluster's nodes. Use as `async with`, in one event loop of one process.

    `network` says which of the nodes' addresses to use, `"internal"` (`url`) or `"public"` (`public_url`); the
    default is `LOCKMANAGER_NETWORK`, else internal. `label` names this client to others (default: host name and
    process id). `api_key` defaults to `LOCKMANAGER_API_KEY`. `clock`, `connector` and `randomness` are seams for
    tests. Raises ConfigurationError for an unknown network, RequestRejected for a label over the limit.
    """

    def __init__(
        self,
        cluster: Cluster | _ClusterAt,
        *,
        network: str | None = None,
        label: str | None = None,
        api_key: str | None = None,
        clock: Clock | None = None,
        connector: Connector | None = None,
        randomness: Randomness | None = None,
    ) -> None:
        self._source = cluster
        self._network = _checked_network(network)
        self._label = label if label is not None else f"{socket.gethostname()[:100]}/{os.getpid()}"
        self._api_key = api_key if api_key is not None else os.environ.get("LOCKMANAGER_API_KEY")
        self._clock = clock or SystemClock()
        self._given_connector = connector
        self._randomness = randomness or SystemRandomness()
        self._sockets: WebSocketConnector | None = None
        self._engine: Engine | None = None
        self._breakers = Breakers(())

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        *,
        network: str | None = None,
        label: str | None = None,
        api_key: str | None = None,
    ) -> Self:
        """Use the cluster that a `cluster.yaml` describes; raises ConfigurationError naming what is wrong in it."""
        return cls(read_cluster_file(Path(path)), network=network, label=label, api_key=api_key)

    @classmethod
    def discover(
        cls, url: str, *, network: str | None = None, label: str | None = None, api_key: str | None = None
    ) -> Self:
        """Use the cluster that the node at `url` belongs to; the node is asked when the coordinator is opened.

        Unless `network` or `LOCKMANAGER_NETWORK` says otherwise, a node's `public_url` here means the public network.
        Opening raises ConfigurationError when that node cannot be reached and never answered this process before.
        """
        return cls(_ClusterAt(url), network=network, label=label, api_key=api_key)

    # Life

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("this coordinator is open already: make another one, or share this one")
        cluster = await self._cluster()
        checked_label(self._label, cluster.limits)
        connector = self._given_connector
        if connector is None:
            connector = self._sockets = WebSocketConnector(self._api_key)
        self._breakers = Breakers(cluster.node_ids)
        self._engine = Engine(
            cluster,
            network=self._network_for(cluster),
            connector=connector,
            clock=self._clock,
            randomness=self._randomness,
            label=self._label,
            when_live=self._breakers.works,
        )
        self._engine.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release what is still held, and end the sessions; within about a second. Idempotent.

        In a fork's copy nothing happens: leases and sessions are the parent's.
        """
        if self._engine is not None and self._engine.inherited:
            return
        engine, self._engine = self._engine, None
        sockets, self._sockets = self._sockets, None
        if engine is not None or sockets is not None:
            await to_its_end(_close(engine, sockets))

    # Locks

    def lock(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        wait: float | None = None,
        shared: bool = False,
        on_lost: OnLost = "cancel",
        label: str | None = None,
    ) -> LockContext:
        """Hold a lock for the length of an `async with` block: at most one valid holder in the whole cluster.

        `ttl` (seconds, 0.1 to 30 days) is how long the lock outlives a holder that vanished; it is renewed while the
        block runs. `wait` (seconds) bounds the wait in line: None waits for ever, 0 tries once. `shared` holders
        stand together and exclude exclusive ones. A lost lease cancels the block, which raises LeaseLost
        (`on_lost="signal"`: only `lease.lost` tells). Entering raises AcquireTimeout or NotAcquired (held by others),
        QuorumUnavailable (too few nodes answer), RequestRejected, ClusterMismatch, ProtocolMismatch, AccessDenied.

        The trap: a process that is paused can outlive its lease. Hand `lease.fence` to the resource and let it refuse
        smaller ones.
        """
        return LockContext(lambda: self.acquire(name, ttl=ttl, wait=wait, shared=shared, label=label), on_lost)

    async def acquire(
        self, name: str, *, ttl: float = 10.0, wait: float | None = None, shared: bool = False, label: str | None = None
    ) -> Lease:
        """Acquire as `lock` does, without a block: the lease is renewed until `release()` is called or it is lost."""
        engine = self.engine
        wish = self._wish(engine, name, ttl, wait, Mode.SHARED if shared else Mode.EXCLUSIVE, label)
        return Lease(await acquire_quorum(engine, wish))

    def efficiency_lock(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        wait: float | None = None,
        label: str | None = None,
        on_lost: OnLost = "cancel",
    ) -> LockContext:
        """Hold a lock that only saves work, in one round trip to one node; when that node is down, the next host's.

        Two holders are possible while hosts fail over, and holders of `lock(name)` are not excluded: use it where
        doing the work twice is a waste, not a mistake. The death of the host is LeaseLost, never a silent second
        acquisition. Arguments and errors as for `lock`.
        """

        async def acquire() -> Lease:
            engine = self.engine
            wish = self._wish(engine, name, ttl, wait, Mode.EXCLUSIVE, label)
            return Lease(await acquire_efficiency(engine, self._breakers, wish))

        return LockContext(acquire, on_lost)

    async def inspect(self, name: str, *, timeout: float = 3.0) -> LockReport:
        """Tell who holds and who waits for the quorum lock `name`, as each of its nodes sees it; for people.

        `timeout` (seconds) bounds the question; nodes that do not answer are named with their cause. What it tells
        may have changed by the time it is read: decide nothing by it.
        """
        engine = self.engine
        name = checked_name(name, engine.cluster.limits)
        network = self._network_for(engine.cluster)
        return await inspect_lock(engine.cluster, network, name, api_key=self._api_key, timeout=timeout)

    @property
    def engine(self) -> Engine:
        """The engine of the open coordinator; raises RuntimeError outside `async with`, its loop or its process."""
        if self._engine is None:
            raise RuntimeError("the coordinator is not open: use it inside `async with Coordinator...`")
        self._engine.check_usable()
        return self._engine

    def _wish(self, engine: Engine, name: str, ttl: float, wait: float | None, mode: Mode, label: str | None) -> Wish:
        limits = engine.cluster.limits
        return Wish(
            name=checked_name(name, limits),
            ttl=checked_ttl(ttl, limits),
            wait=checked_wait(wait),
            mode=mode,
            label=self._label if label is None else checked_label(label, limits),
        )

    def _network_for(self, cluster: Cluster) -> str:
        if self._network is not None:
            return self._network
        if isinstance(self._source, _ClusterAt) and cluster.is_public(self._source.url):
            return "public"
        return "internal"

    async def _cluster(self) -> Cluster:
        if isinstance(self._source, Cluster):
            return self._source
        async with ClusterDocuments(api_key=self._api_key) as documents:
            return await documents.load(self._source.url)


async def _close(engine: Engine | None, sockets: WebSocketConnector | None) -> None:
    try:
        if engine is not None:
            await engine.close()
    finally:
        if sockets is not None:
            await sockets.close()


def _checked_network(network: str | None) -> str | None:
    where = "network" if network is not None else "LOCKMANAGER_NETWORK"
    chosen = network if network is not None else os.environ.get("LOCKMANAGER_NETWORK")
    if chosen is not None and chosen not in _NETWORKS:
        raise ConfigurationError(f"{where} is {chosen!r}; use 'internal' (url) or 'public' (public_url)")
    return chosen
