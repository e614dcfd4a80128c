"""The journal's thread under a test's hand, and who was called back in which order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from lockmanager_node.store import Batch, Store
from tests.support.waiting import until

DEADLINE: Final = 10.0
"""Seconds the thread waits for a test that forgot it."""


class Gate:
    """Holds the journal's thread up before each commit until a test lets it through, or lets it fail."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._arrived = threading.Semaphore(0)
        self._orders: list[Exception | None] = []
        self._go = threading.Semaphore(0)
        self._open = False

    def pass_through(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._arrived.release()
        if self._open:
            return
        assert self._go.acquire(timeout=DEADLINE), "nobody let the commit through"
        if self._orders and (error := self._orders.pop(0)) is not None:
            raise error

    async def arrival(self) -> None:
        """Wait until the thread stands before a commit."""
        await until(lambda: self._arrived.acquire(blocking=False), "a commit")

    def let(self, outcome: Exception | None = None) -> None:
        """Let one commit through, or let it fail."""
        self._orders.append(outcome)
        self._go.release()

    def open(self) -> None:
        """Hold up nothing any more."""
        self._open = True
        self._orders.append(None)
        self._go.release()


@contextmanager
def gated(patch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Hold up all journals of this process while the block runs."""
    gate, original = Gate(), Store.commit

    def commit(store: Store, batch: Batch) -> None:
        gate.pass_through(batch)
        original(store, batch)

    patch.setattr(Store, "commit", commit)
    try:
        yield gate
    finally:
        gate.open()


class Told:
    """Who was called, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def as_(self, name: str) -> Callable[[], None]:
        return lambda: self.order.append(name)

    async def hears(self, *names: str) -> None:
        await until(lambda: len(self.order) >= len(names), f"{names} in {self.order}")
        assert self.order == list(names)


async def turns(count: int = 20) -> None:
    """Let the event loop do whatever is ready."""
    for _ in range(count):
        await asyncio.sleep(0)
