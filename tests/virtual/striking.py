"""One call of a user, cancelled at one point of its way: what came of it, and what is left of it in the cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from lockmanager import Lease, LockManagerError
from tests.support.cancelling import Suspensions
from tests.support.waiting import sessions_are_live
from tests.virtual.aftermath import at_the_end, look_around, when_all_left
from tests.virtual.cluster import virtual_cluster
from tests.virtual.findings import Findings
from tests.virtual.loop import VirtualLoop
from tests.virtual.verbs import VERBS, Action, Scene, Verb

_DEADLINE: Final = 60.0
_ROUGH_TIME: Final = 3.0


@dataclass(frozen=True)
class Blow:
    """Where the cancellation strikes: at the n-th suspension, or after so many turns of the loop; 0 is nowhere.

    `late` strikes when what the suspension waits for completes. `again` strikes once more, so many turns later.
    """

    suspension: int = 0
    late: bool = False
    turn: int = 0
    again: int = 0

    def __str__(self) -> str:
        where = f"t{self.turn}" if self.turn else f"s{self.suspension}{'late' if self.late else ''}"
        return where + (f"+{self.again}" if self.again else "")

    @classmethod
    def parse(cls, text: str) -> Blow:
        """Read what `str` wrote."""
        where, _, again = text.partition("+")
        if where[0] == "t":
            return cls(turn=int(where[1:]), again=int(again or 0))
        return cls(int(where[1:].removesuffix("late")), where.endswith("late"), again=int(again or 0))


@dataclass(frozen=True)
class Case:
    """One run: everything that happens in it follows from this."""

    verb: str
    seed: int
    rough: bool = False
    blow: Blow = field(default_factory=Blow)

    def __str__(self) -> str:
        weather = " --rough" if self.rough else ""
        return f"python -m tests.virtual {self.verb!r} --seed {self.seed}{weather} --blow {self.blow}"


@dataclass
class Outcome:
    """What came of a run. `struck` says that the task was not over yet when it was cancelled."""

    suspensions: int = 0
    turns: int = 0
    struck: int = 0
    ended: str = ""
    findings: Findings = field(default_factory=Findings)
    faults: Counter[str] = field(default_factory=Counter)


class _Struck(Suspensions[Any]):
    """Remembers whether its cancellation found somebody."""

    def __init__(self, action: Action, blow: Blow, cancel: Callable[[], None]) -> None:
        super().__init__(action, cancel_at=blow.suspension, late=blow.late)
        self._strike = cancel

    def _cancel(self, waited_for: object) -> None:
        if self._late and isinstance(waited_for, asyncio.Future):
            waited_for.add_done_callback(lambda _: self._strike())
        else:
            asyncio.get_running_loop().call_soon(self._strike)


class _Executioner:
    """Runs an action as a task of its own, and cancels it where it was told to."""

    def __init__(self, action: Action, blow: Blow, outcome: Outcome, loop: VirtualLoop) -> None:
        self._blow = blow
        self._outcome = outcome
        self._again_at = 0
        self._steps = _Struck(action, blow, self._strike)
        self._loop = loop
        self.task = asyncio.create_task(self._follow(), name="the call of a user")

    async def run(self) -> None:
        self._loop.after_turn = self._after_turn
        await asyncio.wait([self.task], timeout=_DEADLINE)
        self._loop.after_turn = None
        self._outcome.suspensions = self._steps.count

    async def _follow(self) -> object:
        return await self._steps

    def _strike(self) -> None:
        if self.task.cancel():
            self._outcome.struck += 1
            self._again_at = self._outcome.turns + self._blow.again

    def _after_turn(self) -> None:
        if self.task.done() or not self._steps.count:
            return
        self._outcome.turns += 1
        struck = self._outcome.struck
        if self._outcome.turns == self._blow.turn or (
            struck == 1 and self._blow.again and self._outcome.turns == self._again_at
        ):
            self._strike()


def play(case: Case) -> Outcome:
    """Run one case; what it must not leave or do is in its findings."""
    outcome = Outcome()
    outcome.findings.of_a_run(lambda loop: _play(case, loop, outcome))
    return outcome


async def _play(case: Case, loop: VirtualLoop, outcome: Outcome) -> None:
    verb, findings = VERBS[case.verb], outcome.findings
    async with virtual_cluster(case.seed) as cluster:
        outcome.faults = cluster.weather.faults
        async with cluster.coordinator("rival") as rival:
            await sessions_are_live(rival)
            alone = loop.tasks()
            first = cluster.coordinator("first")
            await first.__aenter__()
            await sessions_are_live(first)
            scene, expected = Scene(cluster, first, rival, findings), alone if verb.closes else loop.tasks()
            async with verb.prepare(scene) as action:
                if case.rough:
                    cluster.network.roughen(0.003, 0.03, 0.3)
                    loop.call_later(_ROUGH_TIME, cluster.network.calm)
                await _strike(action, case, verb, outcome, loop)
                if verb.closes:
                    more = loop.tasks() - alone
                    findings.check("no task outlives the close", not _of_channels(more), more)
                cluster.network.open()
            await look_around(scene, verb, findings, expected, rough=case.rough)
            if not verb.closes:
                await first.close()
        await when_all_left(cluster, findings)
    await at_the_end(cluster, findings)


def _of_channels(tasks: Counter[str]) -> list[str]:
    return [task for task in tasks if task.startswith("Channel.")]


async def _strike(action: Action, case: Case, verb: Verb, outcome: Outcome, loop: VirtualLoop) -> None:
    executioner = _Executioner(action, case.blow, outcome, loop)
    await executioner.run()
    task, findings = executioner.task, outcome.findings
    findings.check("it ends", task.done(), f"not after {_DEADLINE:g} s")
    if not task.done():
        task.cancel()
        return
    outcome.ended = _ending(task)
    if outcome.struck:
        findings.check("the cancellation arrives", task.cancelled(), "it ended with", outcome.ended)
    if task.cancelled():
        findings.check("nobody else cancels", outcome.struck > 0, "it was cancelled by the library")
    elif (error := task.exception()) is not None:
        findings.check("errors are the library's", isinstance(error, LockManagerError), repr(error))
    elif isinstance(lease := task.result(), Lease):
        lease.release_soon()
    if not (outcome.struck or case.rough):
        expected = verb.ends.__name__ if verb.ends else "a result"
        findings.check("it ends as always", outcome.ended == expected, "it ended with", outcome.ended)


def _ending(task: asyncio.Task[object]) -> str:
    if task.cancelled():
        return "a cancellation"
    error = task.exception()
    return "a result" if error is None else type(error).__name__
