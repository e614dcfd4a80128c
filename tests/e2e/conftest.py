"""The running stack, once per session: built, started, and removed with its volumes whatever happens."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from tests.e2e.stack import CLUSTER_FILE, CommandFailed, Stack, missing_engine, used_ports

from lockmanager import Coordinator

STACK_LIMIT = 900
"""Seconds a test may take with the stack's build and start in it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("compose"):
            item.add_marker(pytest.mark.timeout(STACK_LIMIT))


@pytest.fixture(scope="session")
def running_stack() -> Iterator[Stack]:
    """The stack of docker-compose.yml, all nodes healthy. `LOCKMANAGER_REQUIRE_COMPOSE=1` makes a skip a failure."""
    _require_engine()
    stack = Stack()
    try:
        stack.up()
        stack.wait_healthy()
        yield stack
    except CommandFailed as error:
        pytest.fail(f"the stack did not start: {error}", pytrace=False)
    finally:
        stack.down()


def _require_engine() -> None:
    if (reason := missing_engine()) is not None:
        if os.environ.get("LOCKMANAGER_REQUIRE_COMPOSE") == "1":
            pytest.fail(f"compose tests are required here, but {reason}", pytrace=False)
        pytest.skip(reason)  # most machines have no engine; where one is required, the line above fails
    if ports := used_ports():
        pytest.fail(f"the stack publishes ports {ports} on 127.0.0.1, and something listens there; stop it first")


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The running stack, all nodes healthy: what an earlier test broke is mended before this one begins."""
    running_stack.wait_healthy()
    return running_stack


@pytest.fixture
async def coordinator(stack: Stack) -> AsyncIterator[Coordinator]:
    """A client on the host: the published ports."""
    async with Coordinator.from_config(CLUSTER_FILE, network="public") as coordinator:
        yield coordinator


@pytest.fixture
async def other(stack: Stack) -> AsyncIterator[Coordinator]:
    """A second client on the host, as another process would be."""
    async with Coordinator.from_config(CLUSTER_FILE, network="public") as other:
        yield other


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A lock name no other test uses."""
    return f"{request.node.originalname}-{uuid4().hex[:8]}"
