"""A ^Z and a child that asks for the terminal in the same instant."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, cast

import pytest

from lockmanager.cli import terminal
from lockmanager.cli.child import Child
from lockmanager.cli.guarding import Step
from lockmanager.cli.terminal import JobControl
from tests.support.cli import DEADLINE

pytestmark = pytest.mark.processes

ASKS = "import os, signal; os.kill(os.getpid(), signal.SIGTTIN)"
"""Stops as the system stops one that reads a terminal which another group has; ends when it may go on."""


class FakeTerminal:
    """Ours to lend, always."""

    def __init__(self) -> None:
        self.lent: list[int] = []

    def lend(self, group: int) -> bool:
        self.lent.append(group)
        return True

    def take_back(self, group: int) -> bool:
        return group in self.lent


class FakeGuard:
    """Of a lease that does not end."""

    def act(self) -> Step:
        return Step.GO_ON


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Each stop of ours; we go on at once."""
    stops: list[None] = []

    def stop_ourselves() -> bool:
        stops.append(None)
        return True

    monkeypatch.setattr(terminal, "stop_ourselves", stop_ourselves)
    return stops


async def test_a_stop_is_not_lost_on_a_child_that_stands_still_to_ask_for_the_terminal(stops: list[None]) -> None:
    child, screen = Child([sys.executable, "-c", ASKS], os.environ), FakeTerminal()
    jobs = JobControl(cast("Any", screen), child, cast("Any", FakeGuard()))
    child.on_stopped = jobs.on_child_stopped
    os.waitid(os.P_PID, child.group, os.WSTOPPED | os.WNOWAIT)  # noqa: ASYNC222  # the loop must not hear of it
    jobs.stop()
    assert (len(stops), screen.lent) == (1, [])
    await asyncio.wait_for(child.changed.wait(), DEADLINE)
    assert (child.status, len(stops)) == (0, 1)


class Patient(JobControl):
    """Looks at the child again when it has had the time to ask again."""

    def go_on(self, *, lend: bool = False) -> None:
        super().go_on(lend=lend)
        os.waitid(os.P_PID, self._child.group, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


async def test_a_child_that_asks_again_after_a_stop_gets_the_terminal_at_once(stops: list[None]) -> None:
    child, screen = Child([sys.executable, "-c", f"{ASKS}; {ASKS}"], os.environ), FakeTerminal()
    jobs = Patient(cast("Any", screen), child, cast("Any", FakeGuard()))
    child.on_stopped = jobs.on_child_stopped
    os.waitid(os.P_PID, child.group, os.WSTOPPED | os.WNOWAIT)  # noqa: ASYNC222  # the loop must not hear of it
    jobs.stop()
    await asyncio.wait_for(child.changed.wait(), DEADLINE)
    assert (child.status, len(stops), screen.lent) == (0, 1, [child.group])


async def test_a_child_that_asks_for_the_terminal_gets_it(stops: list[None]) -> None:
    child, screen = Child([sys.executable, "-c", ASKS], os.environ), FakeTerminal()
    child.on_stopped = JobControl(cast("Any", screen), child, cast("Any", FakeGuard())).on_child_stopped
    await asyncio.wait_for(child.changed.wait(), DEADLINE)
    assert (child.status, stops, screen.lent) == (0, [], [child.group])
