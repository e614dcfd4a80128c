"""A cluster whose locks two coordinators contend for while a test does things to its nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lockmanager.testing import LocalCluster
from tests.support.judge import Conditions, Contest
from tests.support.waiting import sessions_are_live


@asynccontextmanager
async def contested(cluster: LocalCluster, conditions: Conditions | None = None) -> AsyncIterator[Contest]:
    """Contend while the block runs, which begins and ends with progress; at its end all holds are judged."""
    async with cluster.coordinator(label="one") as one, cluster.coordinator(label="other") as other:
        for coordinator in (one, other):
            await sessions_are_live(coordinator)
        async with Contest((one, other), conditions=conditions) as contest:
            await contest.goes_on()
            yield contest
            await contest.goes_on()
