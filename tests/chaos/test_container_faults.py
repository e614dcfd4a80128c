"""A fault that the engine refuses is tried again; what never came about is neither counted as one nor mended."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import cast

import pytest

from tests.chaos.faults import containers
from tests.chaos.faults.containers import ContainerFaults
from tests.chaos.resource import ResourceConnection
from tests.chaos.scene import Scene
from tests.e2e.faults import FAULTS, Fault
from tests.e2e.stack import Answer, CommandFailed, Stack

_NODES = ("node1", "node2", "node3")


class _Hurry(Random):
    """Takes the shortest time of those allowed."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


class _Engine:
    """Refuses the next `refusals` attempts to break something; keeps what it did."""

    def __init__(self, refusals: int) -> None:
        self.did: list[tuple[str, str]] = []
        self._refusals = refusals

    def break_(self, _stack: Stack, node: str) -> None:
        if self._refusals:
            self._refusals -= 1
            raise CommandFailed("unable to freeze")
        self.did.append(("broken", node))

    def mend(self, _stack: Stack, node: str) -> None:
        self.did.append(("mended", node))

    def ready(self, _node: str) -> Answer:
        return Answer(200, {})


class _Run:
    """The faults of a run on an engine that refuses some attempts."""

    def __init__(self, refusals: int) -> None:
        self.engine = _Engine(refusals)
        self.violations: list[str] = []
        self.scene = Scene(_NODES, 3, {}, cast("ResourceConnection", None), self.violations.append)
        self._faults = ContainerFaults(self.scene, cast("Stack", self.engine))

    async def strikes(self, kind: str) -> None:
        (strike,) = (each.strike for each in self._faults.kinds() if each.name == kind)
        await strike(_Hurry(1))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], _Run]:
    """Make a run; of all faults only the killing of containers is replaced."""
    monkeypatch.setattr(containers, "_PAUSE", 0.0)

    def begin(refusals: int) -> _Run:
        run = _Run(refusals)
        monkeypatch.setitem(FAULTS, "killed", Fault(run.engine.break_, run.engine.mend))
        return run

    return begin


async def test_what_the_engine_refuses_is_tried_again(run: Callable[[int], _Run]) -> None:
    some = run(4)
    await some.strikes("docker_kill")
    (node,) = {node for _, node in some.engine.did}
    assert some.engine.did == [("broken", node), ("mended", node)]
    assert some.scene.counts == {"refused by the engine/docker_kill": 4, "nemesis/docker_kill": 1}
    assert (some.scene.busy, some.violations) == (set(), [])


async def test_what_never_came_about_is_no_action_and_is_not_mended(run: Callable[[int], _Run]) -> None:
    some = run(5)
    await some.strikes("docker_kill")
    assert some.engine.did == []
    assert some.scene.counts == {"refused by the engine/docker_kill": 5}
    assert (some.scene.busy, some.violations) == (set(), [])


async def test_those_of_several_that_broke_are_mended(run: Callable[[int], _Run]) -> None:
    some = run(5)
    await some.strikes("docker_kill_majority")
    broken = [node for what, node in some.engine.did if what == "broken"]
    assert broken
    assert [node for what, node in some.engine.did if what == "mended"] == broken
    assert some.scene.counts["nemesis/docker_kill_majority"] == 1
