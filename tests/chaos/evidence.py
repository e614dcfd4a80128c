"""The part "chaos" of the evidence: one slice on some ground, node processes or containers, as the seed decides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos.containers import Containers, missing_containers
from tests.chaos.namespaces import missing_namespaces
from tests.chaos.processes import Processes
from tests.chaos.stage import Ground, Outcome, Run
from tests.evidence.record import Record

_CLUSTERS: Final = ((3, 3), (3, 3), (5, 3), (5, 5))
"""How many nodes, and how many of them decide about a lock."""

_WORTH_CONTAINERS: Final = 60.0
"""Seconds from which on a slice is worth the time its containers take to start."""

_EVERY: Final = 3
"""One slice in so many runs on containers, where there is an engine."""


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run one slice; its histories and logs stay in `directory`."""
    ground, how, facts = _ground(seconds, seed)
    outcome = asyncio.run(Run(ground, seconds, seed, directory / f"chaos-{seed}").perform())
    command = f"python -m tests.chaos --seconds {seconds:g} --seed {seed} {how}"
    return Record(
        part="chaos",
        seconds=outcome.seconds,
        counts=_counts(outcome, ground),
        violations=[f"{sentence} ({command})" for sentence in outcome.violations],
        facts=facts,
        passed=_passed(outcome, command),
    )


def _ground(seconds: float, seed: int) -> tuple[Ground, str, dict[str, str]]:
    """Choose the ground; also says how to choose it again, and what holds for this machine."""
    no_namespaces, no_containers = missing_namespaces(), missing_containers()
    facts = _facts(no_namespaces, no_containers)
    if no_containers is None and seconds >= _WORTH_CONTAINERS and seed % _EVERY == 0:
        return Containers(), "--containers", facts
    nodes, replicas = Random(f"{seed}/cluster").choice(_CLUSTERS)
    ground = Processes(nodes, replicas, namespaces=no_namespaces is None)
    return ground, f"--nodes {nodes} --replicas {replicas}", facts


def _facts(no_namespaces: str | None, no_containers: str | None) -> dict[str, str]:
    """Say what holds for the part; what is missing has a name of its own, so that slices with it are not denied."""
    facts = {"clients": "8 in 4 processes, half of them behind fault proxies; ttl 1 to 2 s"}
    if no_namespaces is None:
        facts["partitions"] = "by iptables, in network namespaces of each node and client process"
    else:
        facts["slices without network namespaces"] = f"parted by fault proxies on loopback only: {no_namespaces}"
    if no_containers is None:
        facts["containers"] = f"every {_EVERY}rd slice of {_WORTH_CONTAINERS:g} s or more"
    else:
        facts["slices without containers"] = f"on node processes instead: {no_containers}"
    return facts


def _counts(outcome: Outcome, ground: Ground) -> dict[str, int]:
    kind = "containers" if isinstance(ground, Containers) else "processes"
    milliseconds = round(1000 * outcome.seconds)
    return {
        **outcome.counts,
        f"slices/{kind}": 1,
        "milliseconds_of_chaos": milliseconds,
        f"milliseconds_of_chaos/{kind}": milliseconds,
    }


def _passed(outcome: Outcome, command: str) -> dict[str, str]:
    lost = outcome.counts["lost_updates/unchecked"]
    if not lost or outcome.violations:
        return {}
    return {
        "positive control: without the fence check updates are lost, with it none": f"{lost} and 0 lost: {command}",
    }
