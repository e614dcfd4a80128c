"""A local cluster of node processes that leaves no process behind, whenever it is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..testing import LocalCluster


@asynccontextmanager
async def running(local: LocalCluster) -> AsyncIterator[None]:
    """Run the cluster while the block runs, then stop its nodes as SIGTERM does.

    Raises RuntimeError when a node does not come up.
    """
    async with local:
        try:
            yield
        finally:
            await local.stop(*local.node_ids)
