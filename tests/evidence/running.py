"""Run slices until every figure is reached or the time is over; what is complete is kept at once.

The part that is furthest from its figures goes next. A part that failed again and again or gets no further is left
alone, so that it keeps no other waiting; the report says so.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.evidence.figures import FIGURES, SLICE_SECONDS, Figure, Size, figures_of
from tests.evidence.parts import Part
from tests.evidence.progress import Aim, Progress
from tests.evidence.record import Record
from tests.evidence.slices import Slice, SliceFailed, SliceStopped
from tests.evidence.store import Entry, Machine, Store
from tests.evidence.taking_over import take_over
from tests.evidence.trees import State, state_of

SHORTEST: Final = 1.0
"""Seconds that must be left for a slice to begin."""

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Plan:
    """What to run, where, and how long."""

    root: Path
    store: Store
    parts: tuple[Part, ...]
    size: Size
    jobs: int = 1
    minutes: float = float("inf")
    uncommitted: bool = False
    figures: tuple[Figure, ...] = FIGURES
    slice_seconds: float = 0
    """0: as the size says."""
    report: Path | None = None
    """The report for machines that is taken over where the store does not know its slices."""
    say: Callable[[str], None] = print
    run_slice: Callable[[Slice, asyncio.Event], Awaitable[Record]] = Slice.run


class Runner:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._until = asyncio.get_running_loop().time() + 60 * plan.minutes
        self._parts = [self._begin(part) for part in plan.parts]
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Begin no more slices, and end those that run."""
        self._stopped.set()

    async def run(self) -> None:
        """Run until nothing is left to do, the time is over, or `stop`."""
        tasks: set[asyncio.Task[None]] = set()
        while tasks := self._fill(tasks):
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def _begin(self, part: Part) -> Progress:
        state = state_of(self._plan.root, part.pathspec)
        if state.changed and not self._plan.uncommitted:
            raise RuntimeError(
                f"{part.name} covers files that differ from the commit: {', '.join(state.changed)}: "
                "commit them first, or say --uncommitted"
            )
        if self._plan.report is not None and (taken := take_over(self._plan.report, self._plan.store, part, state)):
            self._plan.say(f"{part.name}: {taken} slices are taken over from {self._plan.report}")
        aim = Aim(tuple(figures_of(part.name, self._plan.figures)), self._plan.size)
        return Progress(part, state, aim, self._plan.store)

    def _fill(self, tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Return these tasks and as many new ones as may run beside them."""
        filled = set(tasks)
        while self._goes_on() and len(filled) < self._plan.jobs and (neediest := self._neediest()):
            neediest.running += 1
            filled.add(asyncio.create_task(self._slice(neediest)))
        return filled

    def _goes_on(self) -> bool:
        return self._left() >= SHORTEST and not self._stopped.is_set()

    def _left(self) -> float:
        return self._until - asyncio.get_running_loop().time()

    def _neediest(self) -> Progress | None:
        able = [one for one in self._parts if one.may_run]
        return min(able, key=lambda one: (one.running, one.share), default=None)

    async def _slice(self, one: Progress) -> None:
        seed = one.take_seed()
        cut = self._cut(one.part, seed)
        record, failure = None, ""
        try:
            record = await self._plan.run_slice(cut, self._stopped)
        except SliceFailed as failed:
            failure = str(failed)
        except SliceStopped:
            return
        finally:
            one.running -= 1
        self._keep(one, seed, record, failure)
        self._say(one, cut, record, failure)

    def _say(self, one: Progress, cut: Slice, record: Record | None, failure: str) -> None:
        what = f"{failure}; its log is {cut.log}" if failure else one.aim.standing(one.summary.record)
        violations = record.violations if record else []
        left = [f"left alone: {one.left_alone}"] if one.left_alone else []
        for line in (what, *(f"VIOLATION: {violation}" for violation in violations), *left):
            self._plan.say(f"{one.part.name}: {line}")

    def _cut(self, part: Part, seed: int) -> Slice:
        seconds = min(self._plan.slice_seconds or SLICE_SECONDS[self._plan.size], self._left())
        return Slice(part, seconds, seed, self._plan.store.directory / "slices" / f"{part.name}-{seed}")

    def _keep(self, one: Progress, seed: int, record: Record | None, failure: str) -> None:
        if state_of(self._plan.root, one.part.pathspec).key != one.state.key:
            one.left_alone = "the files it covers changed while it ran, so its last slice is not counted"
            return
        self._plan.store.add(one.part.name, _entry(one.state, seed, record, failure))
        one.account(seed, failure)


async def run(plan: Plan) -> None:
    """Run a plan until it is done, its time is over, or SIGINT or SIGTERM comes; raises RuntimeError when it cannot."""
    with plan.store.alone():
        runner = Runner(plan)
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, runner.stop)
        try:
            await runner.run()
        finally:
            for number in _STOPPING:
                loop.remove_signal_handler(number)


def _entry(state: State, seed: int, record: Record | None, failure: str) -> Entry:
    return Entry(
        state=state.key,
        commit=state.commit,
        committed=not state.changed,
        seed=seed,
        ended=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        machine=_machine(),
        record=record,
        failure=failure,
    )


def _machine() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kernel = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return Machine(os.cpu_count() or 1, round(memory / 2**30), platform.python_version(), kernel)
