"""Waiting for a fact, with a deadline, where it comes true in another thread or process and sets no event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from lockmanager import Coordinator
from lockmanager.ballot import Link
from lockmanager.inspection import LockReport

DEADLINE: Final = 10.0
"""Seconds after which a test that waits for something gives up."""

_POLL: Final = 0.005


async def until(condition: Callable[[], bool], what: str, *, within: float = DEADLINE) -> None:
    """Return as soon as the condition holds; fails after `within` seconds, saying what did not come true."""

    async def ask() -> bool:
        return condition()

    await until_told(ask, what, within=within)


async def until_told(ask: Callable[[], Awaitable[bool]], what: str, *, within: float = DEADLINE) -> None:
    """As `until`, for a condition that has to be asked for."""
    try:
        async with asyncio.timeout(within):
            while not await ask():  # noqa: ASYNC110 - nothing sets an event here
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None


async def sessions_are_live(coordinator: Coordinator, *nodes: str) -> None:
    """Wait until the coordinator's sessions with these nodes (default: all) are up."""
    wanted = nodes or coordinator.engine.cluster.node_ids

    def live() -> bool:
        return all(link is Link.LIVE for link, _ in coordinator.engine.links(wanted).values())

    await until(live, f"live sessions with {', '.join(wanted)}")


async def session_is_gone(coordinator: Coordinator, node: str) -> None:
    """Wait until the coordinator has noticed that it has no session with a node."""
    gone = (Link.DOWN, Link.REFUSED)
    await until(lambda: coordinator.engine.links([node])[node][0] in gone, f"the end of the session with {node}")


async def connections_are_refused(coordinator: Coordinator, *nodes: str) -> None:
    """Wait until the coordinator has tried to reach these killed nodes again, and was refused."""

    def refused() -> bool:
        return all(cause == "connection refused" for _, cause in coordinator.engine.links(nodes).values())

    await until(refused, f"refused connections to {', '.join(nodes)}")


async def report(coordinator: Coordinator, name: str, fits: Callable[[LockReport], bool], what: str) -> LockReport:
    """Ask the nodes about a lock until their report fits, and return it."""
    seen: list[LockReport] = []

    async def ask() -> bool:
        seen.append(await coordinator.inspect(name))
        return fits(seen[-1])

    await until_told(ask, f"{what} of {name!r}")
    return seen[-1]


async def in_line(coordinator: Coordinator, name: str, waiting: int = 1) -> None:
    """Wait until that many stand in line for a lock."""
    await report(coordinator, name, lambda seen: seen.waiting == waiting, f"{waiting} in line")


async def held_on(coordinator: Coordinator, name: str, nodes: int) -> LockReport:
    """Wait until one holder stands on that many nodes."""
    return await report(
        coordinator,
        name,
        lambda seen: [holder.nodes for holder in seen.holders] == [nodes],
        f"one holder on {nodes} nodes",
    )


async def free(coordinator: Coordinator, name: str) -> None:
    """Wait until no node knows a holder or a waiter of a lock."""
    await report(coordinator, name, lambda seen: not seen.holders and not seen.waiting, "nobody holding or waiting")
