"""Ways one node can fail, each with its cure: what an operator, a kernel or a switch would do to it.

The functions block: an async test runs them in a thread, so that the sessions under test keep beating.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from tests.e2e.stack import Stack, run


class Fault(NamedTuple):
    """What breaks a node and what mends it."""

    break_: Callable[[Stack, str], object]
    mend: Callable[[Stack, str], object]


def _disconnect(stack: Stack, node: str) -> None:
    run("docker", "network", "disconnect", stack.network, stack.container(node))


def _connect(stack: Stack, node: str) -> None:
    """Connect again; Docker forgets the service's name, so give it as an alias."""
    run("docker", "network", "connect", "--alias", node, stack.network, stack.container(node))


def _docker(verb: str) -> Callable[[Stack, str], object]:
    return lambda stack, node: run("docker", verb, stack.container(node))


FAULTS: Final = {
    "paused": Fault(_docker("pause"), _docker("unpause")),
    "killed": Fault(_docker("kill"), _docker("start")),
    "cut off": Fault(_disconnect, _connect),
}


@asynccontextmanager
async def broken(stack: Stack, *nodes: str, how: str) -> AsyncIterator[None]:
    """Break nodes for the body's time; mended, and all healthy again, on every way out."""
    fault = FAULTS[how]
    try:
        for node in nodes:
            await asyncio.to_thread(fault.break_, stack, node)
        yield
    finally:
        for node in nodes:
            await asyncio.to_thread(fault.mend, stack, node)
        await asyncio.to_thread(stack.wait_healthy)
