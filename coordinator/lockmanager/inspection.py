"""Who holds a lock and who waits for it, as its nodes see it: for people and dashboards, not for decisions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import aiohttp
import msgspec

from .topology import Cluster
from .transport import cause_of


class _Holder(msgspec.Struct, frozen=True):
    label: str
    fence: int
    remaining: float
    token_hash: str
    mode: str


class _Lock(msgspec.Struct, frozen=True):
    name: str
    space: str
    holders: list[_Holder]
    waiting: int


class _Page(msgspec.Struct, frozen=True):
    locks: list[_Lock]


@dataclass(frozen=True, slots=True)
class HolderReport:
    """A holder: its label, its largest fence seen, on how many nodes it stands, and the longest time left there."""

    label: str
    fence: int
    nodes: int
    remaining: float
    shared: bool


@dataclass(frozen=True, slots=True)
class LockReport:
    """What the nodes of one lock say. `held` when a holder stands on a majority; `causes` names silent nodes."""

    name: str
    held: bool
    holders: tuple[HolderReport, ...]
    waiting: int
    causes: dict[str, str] = field(default_factory=dict)


async def inspect_lock(
    cluster: Cluster, network: str, name: str, *, api_key: str | None = None, timeout: float = 3.0
) -> LockReport:
    """Ask the lock's nodes over HTTP, all at once, within `timeout` seconds."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    nodes = cluster.quorum_nodes(name)
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=timeout)) as http:
        answers = await asyncio.gather(*(_ask(http, cluster.url(node, network), name) for node in nodes))
    locks = [answer for answer in answers if isinstance(answer, _Lock)]
    causes = {node: answer for node, answer in zip(nodes, answers, strict=True) if isinstance(answer, str)}
    holders = _holders(locks)
    majority = len(nodes) // 2 + 1
    return LockReport(
        name,
        held=any(holder.nodes >= majority for holder in holders),
        holders=holders,
        waiting=max((lock.waiting for lock in locks), default=0),
        causes=causes,
    )


async def _ask(http: aiohttp.ClientSession, url: str, name: str) -> _Lock | str | None:
    """Return the lock as one node sees it, None when it is free there, or why the node did not tell."""
    query = {"prefix": name, "space": "quorum", "limit": "1"}
    try:
        async with http.get(f"{url}/v1/locks", params=query) as response:
            if response.status != 200:
                return f"HTTP {response.status}"
            page = msgspec.json.decode(await response.read(), type=_Page)
    except TimeoutError:
        return "no answer in time"
    except (aiohttp.ClientError, OSError) as error:
        return cause_of(error)
    except msgspec.MsgspecError as error:
        return f"not the answer of a lock node: {error}"
    return next((lock for lock in page.locks if lock.name == name), None)


def _holders(locks: list[_Lock]) -> tuple[HolderReport, ...]:
    found: dict[str, list[_Holder]] = {}
    for lock in locks:
        for holder in lock.holders:
            found.setdefault(holder.token_hash, []).append(holder)
    reports = [
        HolderReport(
            label=seen[0].label,
            fence=max(holder.fence for holder in seen),
            nodes=len(seen),
            remaining=max(holder.remaining for holder in seen),
            shared=seen[0].mode == "shared",
        )
        for seen in found.values()
    ]
    return tuple(sorted(reports, key=lambda report: (-report.nodes, report.fence)))
