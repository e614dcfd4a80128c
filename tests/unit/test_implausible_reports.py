"""What a peer tells a node that rejoins becomes the node's own: what cannot be is not believed, and it says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Mode
from lockmanager_node.limits import LARGEST_FENCE
from lockmanager_node.records import Adoption
from lockmanager_node.recovery import Rejoin, Report, Verdict
from lockmanager_node.rejoining import _NO_LEASES, Rejoiner
from tests.support.memory_network import LoopClock

in_virtual_time = pytest.mark.looptime

Tell = Callable[[str, int], Report]

_CLUSTER = "the same"
_LEASE = Adoption("0" * 64, "a", "", 5, Mode.EXCLUSIVE, 5, 10 * MICROSECONDS, revoked=False)
_YEAR = 365 * 86_400 * MICROSECONDS


def _report(node: str = "node2", **changes: Any) -> Report:
    plain = Report(node, 5, _CLUSTER, recovering=False, never=False, fence=7, leases=[], upto=1)
    return msgspec.structs.replace(plain, **changes)


async def _verdict(tell: Tell, *, pause: float = 0.001) -> tuple[Verdict, str]:
    """Rejoin with what three honest peers tell, and node2 in its own way after a pause; also return why it waited."""
    clock, peers = LoopClock(), ["node2", "node3", "node4", "node5"]
    rejoin = Rejoin(peers, 3, clock.now())

    async def ask(url: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        node = url.removeprefix("http://").partition("/")[0]
        await asyncio.sleep(pause if node == "node2" else 0.001)
        return 200, msgspec.json.encode(tell(node, int(query["after"])) if node == "node2" else _report(node))

    urls = {peer: f"http://{peer}" for peer in peers}
    rejoiner = Rejoiner(
        rejoin,
        clock,
        node="node1",
        incarnation=9,
        urls=urls,
        fingerprint=_CLUSTER,
        key=None,
        asking=lambda _: nullcontext(ask),
    )
    async with asyncio.timeout(600):
        verdict = await rejoiner.run()
    return verdict, rejoin.readiness(clock.now()).reason


_BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "a fence of 53 bits": ({"fence": LARGEST_FENCE}, "ahead of this node's wall clock"),
    "a fence beyond all bits": ({"fence": 10**30}, "ahead of this node's wall clock"),
    "a negative fence": ({"fence": -1}, "a positive integer; this one is -1"),
    "the fence of a lease": (
        {"leases": [msgspec.structs.replace(_LEASE, fence=LARGEST_FENCE)]},
        "ahead of this node's wall clock",
    ),
    "a ttl beyond all limits": (
        {"leases": [msgspec.structs.replace(_LEASE, ttl=_YEAR + 1)]},
        "no cluster allows more than",
    ),
    "no ttl": ({"leases": [msgspec.structs.replace(_LEASE, ttl=0)]}, "a lease for 0 s"),
}


@pytest.mark.parametrize("case", _BEYOND)
@in_virtual_time
async def test_what_cannot_be_is_not_believed_of_a_peer(case: str) -> None:
    changes, reason = _BEYOND[case]
    verdict, said = await _verdict(lambda node, _: _report(node, **changes))
    assert (verdict.adoptions, verdict.fence_floor < LARGEST_FENCE // 2) == ([], True)
    assert reason in said


@in_virtual_time
async def test_a_lease_of_the_longest_ttl_a_cluster_may_allow_is_believed() -> None:
    lease = msgspec.structs.replace(_LEASE, ttl=_YEAR)
    told: dict[int, list[Adoption]] = {_NO_LEASES: [], 0: [lease], 1: []}
    verdict, _ = await _verdict(lambda node, after: _report(node, leases=told[after]))
    assert verdict.adoptions == [lease]


@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        (lambda node, _: _report(node, upto=0, after=1), "the same leases again and again"),
        (lambda node, after: _report(node, upto=after + 1, after=after + 1), "did not end within 60 s"),
    ],
    ids=["the same page", "ever new pages"],
)
@in_virtual_time
async def test_a_report_without_end_does_not_keep_a_node_from_serving(tell: Tell, reason: str) -> None:
    verdict, said = await _verdict(tell, pause=1.0)
    assert (verdict.adoptions, reason in said) == ([], True), said
