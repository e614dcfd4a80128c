"""A node that stops while clients keep coming leaves no socket behind."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from lockmanager.testing import LocalCluster
from tests.support.waiting import until


@contextmanager
def knocking(port: int) -> Iterator[list[int]]:
    """Connect to a port over and over while the block runs; the list counts the connections."""
    end, count = threading.Event(), [0]

    def knock() -> None:
        while not end.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                count[0] += 1

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield count
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_connections_that_arrive_while_a_node_stops_are_closed(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    unraisable: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraised: unraisable.append(repr(unraised.exc_value)))
    async with LocalCluster(1) as cluster:
        (url,) = cluster.urls.values()
        with knocking(int(url.rpartition(":")[2])) as count:
            for _ in range(3):
                before = count[0]
                await until(lambda: count[0] > before + 5, "connections")  # noqa: B023 - called at once
                await getattr(cluster, how)("node1")
                await cluster.start("node1")
    gc.collect()
    assert unraisable == []
