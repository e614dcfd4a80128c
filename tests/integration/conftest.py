"""Fixtures of the tests that talk to real nodes over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from lockmanager import Coordinator
from lockmanager.testing import LocalCluster
from tests.support.local import mend, running
from tests.support.node_server import Node, serving
from tests.support.waiting import sessions_are_live


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """One node without keys."""
    async with serving() as node:
        yield node


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[LocalCluster]:
    """Three nodes as threads, for all tests of a module; a module that wants others says so by this name."""
    with running() as cluster:
        yield cluster


@pytest.fixture
async def cluster(shared_cluster: LocalCluster) -> AsyncIterator[LocalCluster]:
    """The module's cluster, made whole again after each test."""
    yield shared_cluster
    await mend(shared_cluster)


@pytest.fixture
async def one(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="one") as coordinator:
        await sessions_are_live(coordinator)
        yield coordinator


@pytest.fixture
async def other(cluster: LocalCluster) -> AsyncIterator[Coordinator]:
    async with cluster.coordinator(label="other") as coordinator:
        await sessions_are_live(coordinator)
        yield coordinator
