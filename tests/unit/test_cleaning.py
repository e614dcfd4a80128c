"""Clean-up that no cancellation cuts short."""

from __future__ import annotations

import asyncio

import pytest

from lockmanager.cleaning import to_its_end


class Work:
    """Clean-up that ends when a test lets it, or fails."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.done = False

    async def run(self, failure: Exception | None = None) -> None:
        await self.go.wait()
        if failure is not None:
            raise failure
        self.done = True


async def _begun(work: Work, failure: Exception | None = None) -> asyncio.Task[None]:
    task = asyncio.create_task(to_its_end(work.run(failure)))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_work_nobody_cancels_is_waited_for() -> None:
    work = Work()
    task = await _begun(work)
    work.go.set()
    await task
    assert work.done


async def test_a_cancelled_caller_hears_of_it_when_the_work_is_done() -> None:
    work = Work()
    task = await _begun(work)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done


async def test_a_failure_is_raised() -> None:
    work = Work()
    task = await _begun(work, ValueError("no"))
    work.go.set()
    with pytest.raises(ValueError, match="no"):
        await task


async def test_a_failure_of_work_whose_caller_was_cancelled_is_the_cause() -> None:
    work = Work()
    task = await _begun(work, ValueError("no"))
    task.cancel()
    await asyncio.sleep(0)
    work.go.set()
    with pytest.raises(asyncio.CancelledError) as told:
        await task
    assert isinstance(told.value.__cause__, ValueError)
