"""Local clusters for tests: one per module, whole again for every test, and what only tests do to one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import pytest

from lockmanager.testing import LocalCluster

VARIANTS: Final = (
    pytest.param(False, id="threads"),
    pytest.param(True, id="processes", marks=pytest.mark.processes),
)
"""For `params` of a module's cluster fixture: nodes as threads of this process, or as processes."""


@contextmanager
def running(nodes: int = 3, *, processes: bool = False) -> Iterator[LocalCluster]:
    """Run a local cluster across event loops, so that the tests of a module can share it."""
    cluster = LocalCluster(nodes, processes=processes)
    asyncio.run(_enter(cluster))
    try:
        yield cluster
    finally:
        asyncio.run(cluster.__aexit__(None, None, None))


async def _enter(cluster: LocalCluster) -> None:
    await cluster.__aenter__()


async def mend(cluster: LocalCluster) -> None:
    """Let every node run again, whatever a test did to it; nodes that were running keep what they know."""
    await cluster.resume(*cluster.node_ids)
    await cluster.start(*cluster.node_ids)


async def revoke(cluster: LocalCluster, name: str) -> None:
    """End the leases of a quorum lock as an operator would: the quickest way to lose one."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as http:
        for url in cluster.urls.values():
            async with http.post(f"{url}/v1/revoke", json={"name": name, "space": "quorum"}) as answer:
                assert answer.status == 200, await answer.text()
