"""Whatever a peer tells a node that rejoins, the node reads it or says why not, and serves in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Final

import msgspec
from hypothesis import event
from hypothesis import strategies as st

from lockmanager.durations import MICROSECONDS
from lockmanager.topology import Cluster, NodeAddress
from lockmanager.wire import Mode, Release, State
from lockmanager_node.limits import LARGEST_FENCE, LONGEST_TTL
from lockmanager_node.records import Adoption
from lockmanager_node.recovery import Rejoin, Report, Verdict, answers_needed
from lockmanager_node.rejoining import _NO_LEASES, Asking, Rejoiner, _report
from lockmanager_node.service import Service
from lockmanager_node.table import Table
from tests.support.memory_network import LoopClock
from tests.support.service_cases import Far, tick
from tests.support.table_cases import INCARNATION, acquire, token_of

from .frames import modes
from .loops import Stage, virtual_time
from .nonsense import damaged, weighted, wild_integers, wild_texts, wild_values
from .promises import Account, check_nothing_is_left
from .properties import holds, tried

CLUSTER: Final = Cluster(
    name="three", nodes=tuple(NodeAddress(f"node{number}", f"http://node{number}:8000") for number in (1, 2, 3))
)
SILENCE: Final = 2 * MICROSECONDS
"""Shorter than a node's, so that most of what is given is told when leases are read."""

_tame_names = st.sampled_from(["a", "b"])
_tickets = st.integers(1, LARGEST_FENCE)


def _is_soon_over(ttl: int) -> bool:
    """Whether a lease is not to be looked after for months, be it in virtual time."""
    return not 1 << 40 < ttl <= LONGEST_TTL


adoptions = st.builds(
    Adoption,
    digest=st.sampled_from(["0" * 64, "1" * 64]) | wild_texts,
    name=_tame_names | wild_texts,
    label=wild_texts,
    ticket=_tickets | wild_integers,
    mode=modes,
    fence=st.integers(1, 1 << 50) | wild_integers,
    ttl=st.sampled_from([MICROSECONDS, 30 * MICROSECONDS]) | wild_integers.filter(_is_soon_over),
    revoked=st.booleans(),
)
reports = st.builds(
    Report,
    node=weighted((9, st.just("node2")), (1, wild_texts)),
    incarnation=weighted((9, st.just(5)), (1, wild_integers)),
    fingerprint=weighted((9, st.just(CLUSTER.fingerprint)), (1, wild_texts)),
    recovering=weighted((4, st.just(False)), (1, st.booleans())),
    never=st.booleans(),
    fence=weighted((9, st.integers(0, 1 << 50)), (1, wild_integers)),
    leases=st.lists(adoptions, max_size=3),
    upto=st.integers(0, 3) | wild_integers,
    after=st.none() | wild_integers,
)

_written = st.builds(msgspec.json.encode, reports)
_objects = st.builds(
    lambda report, key, value: msgspec.json.encode(msgspec.to_builtins(report) | {key: value}),
    reports,
    st.sampled_from([*Report.__struct_fields__, "other"]),
    wild_values.filter(lambda value: _is_json(value)),
)
bodies = weighted(
    (8, _written), (2, _objects), (1, damaged(_written)), (1, st.binary(max_size=30)), (1, st.just(b"[" * 5_000))
)
answers = st.tuples(weighted((9, st.just(200)), (1, st.sampled_from([204, 301, 400, 503]))), bodies)


def _is_json(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, OverflowError):
        return False
    return True


Answers = list[tuple[int, bytes]]


def _asking(early: Answers, late: Answers) -> Asking:
    """Let one peer answer with what is given, before leases are read and then, and after that honestly."""
    honest = Report("node3", 5, CLUSTER.fingerprint, recovering=False, never=False, fence=7, leases=[], upto=0)
    left = {True: iter(early), False: iter(late)}

    async def ask(url: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        await asyncio.sleep(0.001)
        if "node3" in url:
            return 200, msgspec.json.encode(honest)
        given = left[query["after"] == str(_NO_LEASES)]
        return next(given, (200, msgspec.json.encode(msgspec.structs.replace(honest, node="node2"))))

    return lambda _: nullcontext(ask)


async def _rejoin(early: Answers, late: Answers) -> Verdict:
    """Ask the peers as a node does that forgot its leases, for as long as it takes."""
    clock, urls = LoopClock(), {node: CLUSTER.url(node, "internal") for node in ("node2", "node3")}
    rejoin = Rejoin(urls, answers_needed(CLUSTER), clock.now(), SILENCE)
    fingerprint, asking = CLUSTER.fingerprint, _asking(early, late)
    rejoiner = Rejoiner(
        rejoin, clock, node="node1", incarnation=9, urls=urls, fingerprint=fingerprint, key=None, asking=asking
    )
    assert rejoiner.readiness().state is State.RECOVERING
    async with asyncio.timeout(900):
        return await rejoiner.run()


async def _serve(verdict: Verdict) -> None:
    """Begin to serve with what the peers told: others are granted, and everything ends."""
    account, clock = Account(), LoopClock()
    table = Table(INCARNATION, tell=account.note)
    service = Service(table, clock)
    table.silent = True
    service.serve(verdict.adoptions, verdict.fence_floor)
    account.check(table, clock.now())
    far = Far(service, "s1")
    far.send(acquire("ann", ticket=clock.wall(), name="nobody holds this", mode=Mode.EXCLUSIVE))
    assert [type(answer).__name__ for answer in await far.told()] == ["Granted"]
    far.send(Release(token_of("ann")))
    await tick()
    service.disconnect(far.session)
    await asyncio.sleep((1 << 40) / MICROSECONDS + 70)
    service.expire()
    check_nothing_is_left(table)
    service.stop()


async def _rejoin_and_serve(early: Answers, late: Answers) -> None:
    verdict = await _rejoin(early, late)
    event(f"adopted {len(verdict.adoptions)}, new {verdict.new_cluster}")
    await _serve(verdict)


@holds("report", examples=120, body=bodies)
def test_a_report_is_read_or_called_malformed(world: None, body: bytes) -> None:
    report = tried(lambda: tried(lambda: _report.decode(body), msgspec.MsgspecError), UnicodeDecodeError)
    event(type(report).__name__)
    assert not isinstance(report, Report) or _report.decode(msgspec.json.encode(report)) == report


_few = st.lists(answers, max_size=6)


@holds("report", virtual_time, examples=40, early=_few, late=_few)
def test_no_report_keeps_a_node_from_serving(stage: Stage, early: Answers, late: Answers) -> None:
    stage.run(_rejoin_and_serve(early, late))
