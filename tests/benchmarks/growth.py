"""W7: how the cost of W2 grows with nodes, client sessions and leases held.

What is to be compared is measured in turn within each round. Client sessions live in at most ten processes: a hundred
sessions are ten in each of ten processes, as two cores would measure little more than a hundred interpreters.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, ExitStack
from typing import Final

from . import client
from .fill import Filler
from .ledger import Ledger
from .ours import Ours
from .plan import CROWD, Plan
from .processes import Child, cpu_seconds
from .rounds import crowd_found, say
from .subject import Crowd
from .targets import MEMORY

NODES: Final = (3, 5, 7)
NODES_OF_REPLICAS: Final = (3, 6, 9)
SESSIONS: Final = (1, 10, 100)
_PROCESSES: Final = 10
_DEADLINE: Final = 60.0
_PAIRS: Final = 3
"""How often the crowd beside many leases is compared with one beside none."""


async def measure(plan: Plan, ledger: Ledger) -> None:
    """Measure all four kinds of growth."""
    await _clusters(plan, ledger, {f"w7.nodes.{nodes}": Ours(nodes) for nodes in NODES})
    replicated = {f"w7.replicas.{nodes}": Ours(nodes, replicas=3) for nodes in NODES_OF_REPLICAS}
    await _clusters(plan, ledger, replicated)
    await _sessions(plan, ledger)
    await _held(plan, ledger)


async def _clusters(plan: Plan, ledger: Ledger, clusters: dict[str, Ours]) -> None:
    async with AsyncExitStack() as ends:
        for subject in clusters.values():
            ends.push_async_callback(subject.stop)
            await subject.start()
            await subject.crowd(CROWD, 0.3)
        for turn in range(plan.rounds):
            for metric, subject in list(clusters.items())[:: -1 if turn % 2 else 1]:
                say(f"round {turn + 1}/{plan.rounds}  {metric}")
                _enter(ledger, turn, metric, await subject.crowd(CROWD, plan.growth_seconds))


async def _sessions(plan: Plan, ledger: Ledger) -> None:
    async with AsyncExitStack() as ends:
        subject = Ours()
        ends.push_async_callback(subject.stop)
        await subject.start()
        for turn in range(plan.rounds):
            for sessions in SESSIONS[:: -1 if turn % 2 else 1]:
                say(f"round {turn + 1}/{plan.rounds}  w7.sessions.{sessions}")
                found = await asyncio.to_thread(_crowd_of_sessions, subject, sessions, plan.growth_seconds)
                _enter(ledger, turn, f"w7.sessions.{sessions}", found)


def _crowd_of_sessions(subject: Ours, sessions: int, seconds: float) -> Crowd:
    """Let the crowd's workers share `sessions` sessions in up to ten processes; returns the sum."""
    processes = min(sessions, _PROCESSES)
    arguments = ["crowd", "--config", str(subject.local.config_path), "--seconds", str(seconds)]
    arguments += ["--sessions", str(sessions // processes), "--workers", str(CROWD // processes)]
    with ExitStack() as ends:
        children = [ends.enter_context(Child(client.__name__, *arguments)) for _ in range(processes)]
        for child in children:
            child.line(_DEADLINE)
        used = cpu_seconds(subject.pids)
        for child in children:
            child.say("go")
        said = [json.loads(child.line(_DEADLINE)) for child in children]
        return Crowd(
            cycles=sum(one["cycles"] for one in said),
            elapsed=max(one["elapsed"] for one in said),
            client_cpu=sum(one["cpu"] for one in said),
            server_cpu=cpu_seconds(subject.pids) - used,
        )


async def _held(plan: Plan, ledger: Ledger) -> None:
    """Compare a crowd beside more and more leases with the same crowd beside none, on a second cluster."""
    async with AsyncExitStack() as ends:
        none, many = Ours(), Ours()
        for subject in (none, many):
            ends.push_async_callback(subject.stop)
            await subject.start()
            await subject.crowd(CROWD, 0.3)
        filler = await ends.enter_async_context(Filler(many.local.cluster))
        for leases in plan.held:
            say(f"w7.held.{leases}: filling")
            await filler.fill(leases)
            for turn in range(_PAIRS):
                for subject in (none, many)[:: -1 if turn % 2 else 1]:
                    found = await subject.crowd(CROWD, plan.growth_seconds)
                    if subject is many:
                        _enter(ledger, turn, f"w7.held.{leases}", found)
                    else:
                        ledger.add(turn, f"w7.held.{leases}.none", MEMORY, found.cycles / found.elapsed)


def _enter(ledger: Ledger, turn: int, prefix: str, found: Crowd) -> None:
    for metric, value in crowd_found(prefix, found).items():
        ledger.add(turn, metric, MEMORY, value)
