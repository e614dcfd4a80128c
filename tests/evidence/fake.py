"""A part for the tests of the orchestrator, which does as the environment says, and a scene to run it in."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.evidence.figures import Figure, count
from tests.evidence.parts import Part
from tests.evidence.record import Record
from tests.evidence.report import Report, gather
from tests.evidence.running import Plan
from tests.evidence.running import run as run_plan
from tests.evidence.slices import Slice
from tests.evidence.store import Store

BEHAVIOUR: Final = "EVIDENCE_FAKE_PART"
WAITS: Final = "waits"
FAKE: Final = Part("fake", __name__, "A fake", ("tests/fake",))
OTHER: Final = Part("other", __name__, "Another fake", ("tests/other",))
Finds = Callable[[Slice], Record]
RUNS: Final = 10
"""What one slice of a fake counts."""


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Be a part: return a record, fail with the words given, or wait for ever with a child beside it."""
    what = os.environ.get(BEHAVIOUR, "")
    if what == WAITS:
        child = subprocess.Popen(["sleep", "300"])
        (directory / "child").write_text(str(child.pid), encoding="utf-8")
        threading.Event().wait()
    if what:
        raise RuntimeError(what)
    return found()


def found(**more: Any) -> Record:
    """Return what one slice of a fake finds, with what is said in its place."""
    return Record(**{"part": "fake", "seconds": 1.0, "counts": {"runs": RUNS, "checks/exclusion": 3}, **more})


def always(**more: Any) -> Finds:
    """Return slices that all find the same."""

    def finds(one: Slice) -> Record:
        return found(**more)

    return finds


def wants(runs: int, part: Part = FAKE) -> Figure:
    """Return a figure that wants so many runs of a fake."""
    return Figure(part.name, "runs", count("runs"), runs, runs, runs)


@dataclass
class Scene:
    """A repository with the files of two fakes, and records of their slices; slices run in this process."""

    root: Path
    figures: tuple[Figure, ...] = (wants(30),)
    ran: list[tuple[str, int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.git("init", "-q")
        for name in ("node/rules", "tests/fake/part", "tests/other/part", "README"):
            self.write(name, "as it was")
        self.commit()

    @property
    def store(self) -> Store:
        return Store(self.root / ".evidence")

    def git(self, *words: str) -> None:
        """Run git as somebody, apart from any repository the environment names."""
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        subprocess.run(["git", *who, *words], cwd=self.root, env=environment, check=True, capture_output=True)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "-m", "a change")

    def plan(self, finds: Finds, **more: Any) -> Plan:
        """Return a plan whose slices find what `finds` returns, or fail as it raises."""

        async def run_slice(one: Slice, stop: asyncio.Event) -> Record:
            self.ran.append((one.part.name, one.seed))
            return finds(one)

        described = {"parts": (FAKE,), "size": "short", "figures": self.figures, "say": self.said.append}
        return Plan(**{"root": self.root, "store": self.store, "run_slice": run_slice, **described, **more})

    async def run(self, finds: Finds | None = None, **more: Any) -> Report:
        """Run a plan and return what is known then."""
        async with asyncio.timeout(10):
            await run_plan(self.plan(finds or always(), **more))
        return self.report(*more.get("parts", (FAKE,)))

    def report(self, *parts: Part) -> Report:
        return gather(self.root, self.store, parts or (FAKE,), "short", self.figures)

    def runs(self, part: Part = FAKE) -> int:
        """Return how many runs of a fake count for the files as they are."""
        (summary,) = self.report(part).summaries
        return summary.record.counts.get("runs", 0)
