"""The client processes of a run: started, stopped, killed and started again, some with a proxy before each node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from lockmanager.topology import Cluster, render_yaml
from tests.chaos.child import Child, Said
from tests.chaos.client import Settings
from tests.chaos.namespaces import Namespace
from tests.chaos.resource import KINDS
from tests.chaos.undertaker import Undertaker
from tests.chaos.workload import Pace

_START_DEADLINE: Final = 180.0
_END_DEADLINE: Final = 120.0
"""Seconds within which a client that was told to stop has ended: far beyond the longest wait of its acquisitions."""


class Plan(msgspec.Struct, frozen=True):
    """What all client processes of a run have in common."""

    cluster: Cluster
    network: str
    seed: int
    directory: Path
    resource: Path
    pace: Pace
    undertaker: Undertaker
    on_violation: Callable[[str], None]


class Client:
    """One process and its clients, in one life after the other; `party` is its name in the network."""

    def __init__(self, party: str, slots: list[str], plan: Plan, namespace: Namespace | None) -> None:
        self.party = party
        self.efficiency_cycles = 0
        self._slots = slots
        self._plan = plan
        self._namespace = namespace
        self._child: Child | None = None
        self._proxy: Child | None = None
        self._lives = 0
        self._said: dict[str, asyncio.Future[object]] = {}

    @property
    def log(self) -> Path:
        return self._plan.directory / f"{self.party}.log"

    @property
    def proxied(self) -> bool:
        """Whether its ways to the nodes lead through a fault proxy."""
        return self._proxy is not None

    # Life

    async def start(self) -> None:
        """Begin a life, and wait until its clients work."""
        plan = self._plan
        settings = Settings(
            cluster=str(self._config),
            slots=self._slots,
            life=self._lives,
            seed=plan.seed,
            resource=str(plan.resource),
            histories={kind: str(plan.directory / kind) for kind in KINDS},
            network="internal" if self.proxied else plan.network,
            pace=plan.pace,
        )
        self._lives += 1
        if not self._config.exists():
            self._config.write_text(render_yaml(plan.cluster), encoding="utf-8")
        ready = self._expect("ready")
        self._child = await self._spawn("tests.chaos.client", msgspec.json.encode(settings).decode())
        async with asyncio.timeout(_START_DEADLINE):
            await ready

    async def stop(self) -> None:
        """Let its clients finish what they do, and end."""
        assert self._child is not None
        await self._child.order(do="stop")
        status = await self._child.end(_END_DEADLINE)
        if status != 0:
            how = f"with status {status}" if status is not None else f"only by force after {_END_DEADLINE:g} s"
            self._plan.on_violation(f"client process {self.party} ended {how}: {self._tail()}")

    async def kill(self) -> None:
        """End it by SIGKILL; what it was doing stays undone or not, nobody knows."""
        assert self._child is not None
        if not self._child.running:
            self._plan.on_violation(f"client process {self.party} had ended before it was killed: {self._tail()}")
        await self._child.kill()

    def pause(self) -> None:
        assert self._child is not None
        self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._child is not None
        self._child.signal(signal.SIGCONT)

    # The gate before a write

    async def holder_about_to_write(self, within: float) -> str | None:
        """Hold up the next holder that is about to write and return its lock; None, and nobody is, after `within`."""
        assert self._child is not None
        between = self._expect("between")
        await self._child.order(do="between")
        try:
            async with asyncio.timeout(within):
                return str(await between)
        except TimeoutError:
            await self.let_it_write()
            return None

    async def let_it_write(self) -> None:
        assert self._child is not None
        await self._child.order(do="write")

    # The fault proxy

    async def start_proxy(self) -> None:
        """Lead its ways to the nodes through a proxy; before `start`."""
        cluster = self._plan.cluster
        addresses = {node: urlsplit(cluster.url(node, self._plan.network)) for node in cluster.node_ids}
        targets = {node: (address.hostname, address.port) for node, address in addresses.items()}
        file = self._plan.directory / f"{self.party}.targets.json"
        file.write_bytes(msgspec.json.encode(targets))
        ports = self._expect("ports")
        self._proxy = await self._spawn("tests.chaos.proxy", str(file))
        async with asyncio.timeout(_START_DEADLINE):
            listening = msgspec.convert(await ports, dict[str, int])
        nodes = tuple(
            msgspec.structs.replace(node, url=f"http://127.0.0.1:{listening[node.id]}", public_url=None)
            for node in cluster.nodes
        )
        through = msgspec.structs.replace(cluster, nodes=nodes)
        self._config.write_text(render_yaml(through), encoding="utf-8")

    async def break_ways(self, nodes: Iterable[str], what: str, *how: object) -> None:
        """Let its proxy do something to its ways to some nodes."""
        if self._proxy is None or not self._proxy.running:
            raise RuntimeError(f"{self.party} has no proxy that runs: {self._tail()}")
        for node in nodes:
            await self._proxy.order(node=node, do=what, how=how)

    async def end(self) -> None:
        """End whatever of it still runs, at once."""
        for child in (self._child, self._proxy):
            if child is not None:
                await child.kill()

    @property
    def _config(self) -> Path:
        return self._plan.directory / f"{self.party}.yaml"

    async def _spawn(self, module: str, argument: str) -> Child:
        return await Child.start(
            module,
            argument,
            undertaker=self._plan.undertaker,
            log=self.log,
            heard=self._hear,
            namespace=self._namespace,
        )

    def _expect(self, key: str) -> asyncio.Future[object]:
        self._said[key] = future = asyncio.get_running_loop().create_future()
        return future

    def _hear(self, said: Said) -> None:
        for key, value in said.items():
            if key == "violation":
                self._plan.on_violation(value)
            elif key == "efficiency":
                self.efficiency_cycles += value
            elif (expected := self._said.pop(key, None)) is not None and not expected.done():
                expected.set_result(value)

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
