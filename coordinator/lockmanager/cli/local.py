"""A local cluster of node processes that leaves no process behind, whenever it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..testing import LocalCluster


@asynccontextmanager
async def running(local: LocalCluster) -> AsyncIterator[None]:
    """Run the cluster while the block runs, then stop its nodes as SIGTERM does.

    A cancellation that comes while the nodes start is kept until all of them have: one that is being started can
    be missed by whoever stops them. Raises RuntimeError when a node does not come up.
    """
    starting = asyncio.create_task(local.__aenter__())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await local.__aexit__(None, None, None)
        raise
    try:
        yield
    finally:
        try:
            await local.stop(*local.node_ids)
        finally:
            await local.__aexit__(None, None, None)
