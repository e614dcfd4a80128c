"""Fixtures of the tests that talk to a real node over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.node_server import Node, serving


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """One node without keys."""
    async with serving() as node:
        yield node
