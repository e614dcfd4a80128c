"""What every test run needs: no event loop nobody closes, and ports of its own for each process of it."""

from __future__ import annotations

import asyncio

import pytest

FIRST_PORT, PORTS = 10_000, 2_000
"""Where the ports of the workers begin, and how many each has. Other processes choose theirs far from here."""


def pytest_configure(config: pytest.Config) -> None:
    """Say that there is no current event loop, and which ports are this worker's.

    Before its first loop the asyncio plugin asks for the current one, and Python up to 3.13 then makes one that is
    never closed; warnings being errors, its end would fail whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
    if worker := getattr(config, "workerinput", None):
        _take_ports(int(worker["workerid"].removeprefix("gw")))


def _take_ports(number: int) -> None:
    """Choose ports from a range that no other worker has: those of a stopped node look free to everybody else."""
    from lockmanager.testing import local_cluster

    first = FIRST_PORT + number % 5 * PORTS
    vars(local_cluster)["_PORTS"] = range(first, first + PORTS)
