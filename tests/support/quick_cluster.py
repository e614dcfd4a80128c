"""Clusters of real node processes for tests of restart and rejoin: with a short silence, disks and boots to take away.

Nothing of this is a setting of the product: see `quick_node`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec
import pytest

from lockmanager import Coordinator, acquisition, actions
from lockmanager.clock import SystemClock
from lockmanager.durations import microseconds
from lockmanager.testing import LocalCluster
from lockmanager.testing.process_node import ProcessNode
from lockmanager.topology import ApiKey, render_yaml
from tests.support import quick_node
from tests.support.waiting import until_told

SCALE: Final = 10
"""How many times shorter than in the product the silence is, and with it the longest ttl asked for at first."""

SILENCE: Final = 30.0 / SCALE
"""Seconds of silence of a node that forgot its leases."""

READY_DEADLINE: Final = 60.0
"""Seconds after which a test gives up waiting for a node to be ready."""

_ROOT: Final = Path(__file__).parents[2]
_ANSWER_DEADLINE: Final = 5.0

_clock = SystemClock()


def now() -> int:
    """Return the clock that nodes and coordinators of one machine share, in microseconds."""
    return _clock.now()


@contextmanager
def quick_coordinators() -> Iterator[None]:
    """Let coordinators of this process first ask for no more than the silence of quick nodes."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (actions, acquisition):
            patch.setattr(module, "FIRST_TTL", microseconds(SILENCE))
        yield


@dataclass(frozen=True)
class Ready:
    """What `/readyz` said, and when: before `asked` it cannot have been decided, after `answered` neither."""

    status: int
    retry_after: str
    code: str
    detail: str
    remaining: float
    asked: int
    answered: int

    @property
    def yes(self) -> bool:
        """Whether the node grants."""
        return self.status == 200


class QuickNode(ProcessNode):
    """A node process with a short silence (0: the product's own), a feigned boot, and options for its next start."""

    _module = quick_node.__name__

    def __init__(self, *where: Any, silence: float) -> None:
        super().__init__(*where)
        self.options: tuple[str, ...] = ()
        self.silence = silence
        self.boot_id = self._log.with_suffix(".boot")
        self.boot_id.write_text("the first boot\n", encoding="ascii")

    def _command(self) -> list[str]:
        return [*super()._command(), *self.options]

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        settings = {"PYTHONPATH": path, quick_node.BOOT_ID: str(self.boot_id)}
        if self.silence:
            settings[quick_node.SILENCE] = str(self.silence)
        return super()._environment() | settings

    def said(self) -> str:
        """Return what this life of the node has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")


class QuickCluster(LocalCluster):
    """A local cluster of quick nodes. With `started=False` no node runs at first, and no disk has anything on it.

    `keys` are the plain API keys of the cluster; coordinators use the first.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        silence: float = SILENCE,
        journal: bool = True,
        started: bool = True,
        keys: tuple[str, ...] = (),
    ) -> None:
        super().__init__(nodes, processes=True, journal=journal)
        hashed = tuple(ApiKey(f"key{n}", sha256(key.encode()).hexdigest()) for n, key in enumerate(keys))
        self.cluster = msgspec.structs.replace(self.cluster, api_keys=hashed)
        self.quick: dict[str, QuickNode] = {}
        self._silence = silence
        self._started = started
        self._key = keys[0] if keys else None

    def coordinator(self, **options: Any) -> Coordinator:
        return super().coordinator(**{"api_key": self._key} | options)

    def _new_node(self, node: str) -> QuickNode:
        data_dir = self.data_dir(node) if self._journal else None
        self.quick[node] = QuickNode(self.cluster, node, self.config_path, data_dir, silence=self._silence)
        return self.quick[node]

    async def __aenter__(self) -> Self:
        if self._started:
            return await super().__aenter__()
        self._directory = tempfile.TemporaryDirectory(prefix="lockmanager-")
        self.config_path.write_text(render_yaml(self.cluster), encoding="utf-8")
        self._nodes = {node: self._new_node(node) for node in self.node_ids}
        return self

    # What happens to nodes

    async def restart(self, node: str, *, fault: str = "kill", ready: bool = True) -> None:
        """End a node, by `kill` or `stop`, and start it with its disk."""
        await getattr(self, fault)(node)
        await self.start(node, ready=ready)

    async def replace(self, *nodes: str, ready: bool = True) -> None:
        """Let nodes lose their disks: kill them, wipe them, start them."""
        await self.kill(*nodes)
        await self.wipe(*nodes)
        await self.start(*nodes, ready=ready)

    def reboot(self, node: str) -> None:
        """Let the machine of a node that does not run have another boot id when it is started next."""
        self.quick[node].boot_id.write_text(f"another boot at {now()}\n", encoding="ascii")

    # What nodes say

    async def ready(self, node: str) -> Ready:
        """Ask a node whether it is ready."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_DEADLINE)
        asked = now()
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{self.urls[node]}/readyz") as answer,
        ):
            body = await answer.json(content_type=None)
        return Ready(
            answer.status,
            answer.headers.get("Retry-After", ""),
            body.get("code", ""),
            body.get("detail", ""),
            body.get("remaining", 0.0),
            asked,
            now(),
        )

    async def until_ready(self, *nodes: str, within: float = READY_DEADLINE) -> int:
        """Wait until nodes that answer are ready, and return when the last one said so."""
        said: list[Ready] = []

        async def all_are() -> bool:
            said[:] = [await self.ready(node) for node in nodes]
            await asyncio.sleep(0.02)
            return all(ready.yes for ready in said)

        try:
            await until_told(all_are, f"{', '.join(nodes)} ready", within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}; they said {[ready.detail for ready in said]}") from None
        return max(ready.answered for ready in said)

    async def locks(self, node: str) -> dict[str, Any]:
        """Return what a node lists as locked, by name."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_DEADLINE)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.get(f"{self.urls[node]}/v1/locks") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return {lock["name"]: lock for lock in (await answer.json())["locks"]}
