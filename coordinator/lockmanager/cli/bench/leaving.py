"""Leaving nothing behind: a run ends when every node has said that it knows none of its names any more.

Releases that were only sent could be lost with the connection, as a socket that is closed while answers are unread
drops what it has not sent yet; the leases would then last for their ttl.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from ...coordinator import Coordinator
from ...errors import LockManagerError
from ..asking import ask_all
from ..messages import say
from ..target import Target
from .names import Names, ttl

_LAST_WAIT: Final = 0.5
_PAUSE: Final = 0.02
_LONGEST: Final = 3.0
"""Seconds, as all here. A node may take a while to read what thousands of workers sent."""


@asynccontextmanager
async def leaving_nothing(coordinator: Coordinator, target: Target, names: Names) -> AsyncIterator[None]:
    """After the block, however it ends, wait until no node knows a name of this run; say so if one still does."""
    try:
        yield
    finally:
        with suppress(LockManagerError):
            await _send_last(coordinator, names)
        with suppress(LockManagerError):
            await _until_gone(_as_reached(coordinator, target), names)


def _as_reached(coordinator: Coordinator, target: Target) -> Target:
    """Return the target by the addresses the locks went to: a client that starts from a public URL uses public ones."""
    engine = coordinator.engine
    inside = all(engine.url(node) == engine.cluster.url(node, "internal") for node in engine.cluster.node_ids)
    return replace(target, network="internal" if inside else "public")


async def _send_last(coordinator: Coordinator, names: Names) -> None:
    """Lock once more: a node reads in order, so whoever answers this has read all that went before."""
    limits = coordinator.engine.cluster.limits
    lease = await coordinator.acquire(names.last, ttl=ttl(limits), wait=_LAST_WAIT)
    await lease.release()


async def _until_gone(target: Target, names: Names) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _LONGEST
    while left := await _left(target, names):
        if loop.time() > end:
            nodes = ", ".join(f"{node} ({count})" for node, count in left.items())
            say(f"locks under {names.root!r} still stand on {nodes}; they end by themselves in a few seconds")
            return
        await asyncio.sleep(_PAUSE)


async def _left(target: Target, names: Names) -> dict[str, int]:
    """Return how many locks of the run each node knows, where it knows any."""
    _, views = await ask_all(target, prefix=names.root)
    return {view.id: len(view.locks) for view in views if view.locks}
