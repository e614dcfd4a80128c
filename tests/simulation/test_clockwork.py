"""Virtual time and the processes in it: own clocks, pauses, suspends and deaths."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.clockwork import FASTEST, SLOWEST, Process, Scheduler, SimClock, Stuck

SECOND = 1_000_000


class Machine:
    """A scheduler with one process, and what that process noted."""

    def __init__(self, *, rate: float = 1.0) -> None:
        self.scheduler = Scheduler()
        self.clock = SimClock(self.scheduler, base=5 * SECOND, rate=rate)
        self.turns = 0
        self.errors: list[dict[str, Any]] = []
        self.notes: list[int] = []
        self.process = Process(self.scheduler, self.clock, after_turn=self._turned, on_error=self._failed)

    def _turned(self) -> None:
        self.turns += 1

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)

    async def note_every(self, seconds: float, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(seconds)
            self.notes.append(self.scheduler.now)

    def begin(self, seconds: float, times: int) -> None:
        self.process.post(lambda: asyncio.ensure_future(self.note_every(seconds, times)))


@pytest.fixture
def machine() -> Iterator[Machine]:
    yield from _machine(1.0)


@pytest.fixture
def fast_machine() -> Iterator[Machine]:
    yield from _machine(2.0)


def _machine(rate: float) -> Iterator[Machine]:
    machine = Machine(rate=rate)
    yield machine
    machine.process.kill()


def test_a_timer_is_due_on_the_clock_of_its_process(fast_machine: Machine) -> None:
    fast_machine.begin(1.0, 2)
    fast_machine.scheduler.run(10 * SECOND)
    assert fast_machine.notes == [SECOND // 2, SECOND]


def test_the_extreme_rates_differ_by_exactly_what_is_allowed() -> None:
    assert pytest.approx(0.99, abs=1e-12) == SLOWEST / FASTEST


def test_a_clock_tells_the_true_time_of_its_instants() -> None:
    scheduler = Scheduler()
    clock = SimClock(scheduler, base=123, rate=FASTEST)
    scheduler.run(7 * SECOND)
    assert clock.true(clock.now()) <= scheduler.now
    assert clock.true(clock.now() + 1) > scheduler.now - 1


def test_a_paused_process_does_late_what_was_due_meanwhile(machine: Machine) -> None:
    machine.begin(1.0, 2)
    machine.scheduler.run(SECOND // 2)
    machine.process.pause(3 * SECOND)
    machine.scheduler.run(10 * SECOND)
    assert machine.notes == [3_500_000, 4_500_000]


def test_a_suspended_machine_counts_the_time_but_its_timers_do_not(machine: Machine) -> None:
    machine.begin(1.0, 1)
    machine.scheduler.run(SECOND // 2)
    before = machine.clock.now()
    machine.process.suspend(10 * SECOND)
    machine.scheduler.run(30 * SECOND)
    assert machine.notes == [11 * SECOND]
    assert machine.clock.now() - before == 29_500_000


def test_a_killed_process_does_nothing_any_more_and_leaves_no_task(machine: Machine) -> None:
    machine.begin(1.0, 5)
    machine.scheduler.run(2 * SECOND + 1)
    machine.process.kill()
    machine.begin(1.0, 5)
    machine.scheduler.run(20 * SECOND)
    assert machine.notes == [SECOND, 2 * SECOND]
    assert not asyncio.all_tasks(machine.process.loop)


def test_clean_up_of_a_killed_process_takes_no_time(machine: Machine) -> None:
    ended = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3.0)
            ended.append(machine.scheduler.now)

    machine.process.post(lambda: asyncio.ensure_future(linger()))
    machine.scheduler.run(SECOND)
    machine.process.kill()
    assert ended == [SECOND]


def test_a_boot_starts_the_steady_clock_over() -> None:
    scheduler = Scheduler()
    clock = SimClock(scheduler, base=50 * SECOND)
    scheduler.run(SECOND)
    clock.boot(7)
    assert clock.now() == 7
    scheduler.run(2 * SECOND)
    assert clock.now() == SECOND + 7


def test_what_is_planned_for_one_instant_happens_in_order() -> None:
    scheduler, order = Scheduler(), list[int]()
    for number in range(5):
        scheduler.at(SECOND, lambda number=number: order.append(number))  # type: ignore[misc]
    scheduler.run(SECOND)
    assert order == [0, 1, 2, 3, 4]


def test_a_process_that_turns_for_ever_at_one_instant_is_found(machine: Machine) -> None:

    def spin() -> None:
        machine.process.post(spin)

    machine.process.post(spin)
    with pytest.raises(Stuck):
        machine.scheduler.run(SECOND)


def test_an_error_nobody_catches_is_told(machine: Machine) -> None:
    machine.process.post(lambda: 1 / 0)
    machine.scheduler.run(SECOND)
    assert isinstance(machine.errors[0]["exception"], ZeroDivisionError)
