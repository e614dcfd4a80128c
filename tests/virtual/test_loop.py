"""The virtual loop's time is that of its timers, and it asks nobody outside for anything."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from tests.virtual.loop import Stuck, VirtualLoop, run_virtually


def test_a_year_passes_at_once() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(365 * 24 * 3600)
        return loop.time()

    began = time.monotonic()
    assert run_virtually(main, within=366 * 24 * 3600) == 365 * 24 * 3600
    assert time.monotonic() - began < 60


def test_timers_go_off_in_the_order_of_their_instants() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        went_off: list[float] = []
        for delay in (3.0, 1.0, 2.0):
            loop.call_later(delay, lambda: went_off.append(loop.time()))
        await asyncio.sleep(5)
        return went_off

    assert run_virtually(main) == [1.0, 2.0, 3.0]


def test_a_loop_on_which_nothing_can_happen_any_more_says_who_waits() -> None:
    async def main(_: VirtualLoop) -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="somebody")

    with pytest.raises(Stuck, match=r"waiting: .*somebody"):
        run_virtually(main)


def test_a_loop_that_goes_on_and_on_is_stopped() -> None:
    async def main(loop: VirtualLoop) -> None:
        for _ in count():
            await asyncio.sleep(1)

    with pytest.raises(Stuck, match="not over after 60 s"):
        run_virtually(main, within=60)


def test_nothing_runs_in_a_thread() -> None:
    async def main(_: VirtualLoop) -> None:
        await asyncio.to_thread(print)

    with pytest.raises(AssertionError, match="a thread was asked for"):
        run_virtually(main)


def test_no_socket_is_opened() -> None:
    async def main(_: VirtualLoop) -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises((NotImplementedError, AssertionError, OSError)):
        run_virtually(main)


def test_the_hook_is_called_after_each_turn() -> None:
    async def main(loop: VirtualLoop) -> int:
        turns = []
        loop.after_turn = lambda: turns.append(1)
        for _ in range(5):
            await asyncio.sleep(0)
        return len(turns)

    assert run_virtually(main) == 5
