"""Cancels a task at its n-th suspension, or at the very moment what it waits for completes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Suspensions(Generic[Result]):
    """Awaits a coroutine and counts every point at which it suspends; cancels its task at one of them.

    `late` cancels when the awaited future completes, before the task goes on; otherwise right after the suspension.
    A bare `sleep(0)` has no future and is always cancelled right after.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result], *, cancel_at: int = 0, late: bool = False) -> None:
        self.count = 0
        self._coroutine = coroutine
        self._cancel_at = cancel_at
        self._late = late

    def __await__(self) -> Generator[Any, None, Result]:
        steps = self._coroutine.__await__()
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = steps.send(None) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                result: Result = end.value
                return result
            self.count += 1
            if self.count == self._cancel_at:
                self._cancel(waited_for)
            thrown = None
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  # handed on to the coroutine, as the event loop would
                thrown = error

    def _cancel(self, waited_for: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._late and isinstance(waited_for, asyncio.Future):
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)
