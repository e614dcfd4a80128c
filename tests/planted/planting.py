"""Plants a bug: applies a patch to a copy of the code, runs a check there, and says what came of it.

The copy lies below a directory of its own, and the child that runs the check imports the code from there and nowhere
else. A bug is caught only by a check that failed: code that cannot be imported, a patch that no longer applies and a
check that ran out of time catch nothing, unless the bug is said to make things hang.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from .witness import PACKAGES, REPORT

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("coordinator", "node", "tests", "pyproject.toml")
_LEFT_OUT: Final = ("benchmarks", "chaos", "e2e", "model", ".*")
"""What no check of a bug needs."""

_PLUGINS: Final = ("-p", "tests.planted.witness", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:hypothesispytest")
_PYTEST: Final = ("pytest", *_PLUGINS, "-x", "-q", "--tb=short", "--timeout=0")
_FAILED: Final = 1
"""The exit status of pytest, and of the simulation, when something was found."""

_NOT_BEHAVIOUR: Final = ("NameError", "UnboundLocalError", "SyntaxError", "ImportError", "ModuleNotFoundError")
"""A check that fails with one of these has met code that cannot run, not a rule that was broken."""

_OUT_OF_TIME: Final = "Timeout"
_SEED: Final = re.compile(r"^.*\bseeds? (\d+)\b.*$", re.MULTILINE)
_SHOWN: Final = 1_000
"""Characters of a child's output that are shown to people."""


class Verdict(StrEnum):
    """What came of a check of a copy."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    HUNG = "hung"
    BROKEN = "broken"
    NOT_APPLIED = "not applied"


class Check(msgspec.Struct, frozen=True):
    """What is run on a copy: `pytest` of the tests named, or a module with its arguments."""

    kind: str
    arguments: tuple[str, ...]
    seconds: float = 120.0

    @property
    def is_pytest(self) -> bool:
        """Whether the arguments name tests."""
        return self.arguments[0].endswith(".py") or ".py::" in self.arguments[0]

    def command(self, scratch: Path) -> list[str]:
        """Return the command line of the child."""
        if self.is_pytest:
            return [sys.executable, "-m", *_PYTEST, f"--basetemp={scratch / 'tmp'}", *self.arguments]
        return [sys.executable, "-m", "tests.planted.witness", *self.arguments]


class Outcome(msgspec.Struct, frozen=True):
    """The verdict, `by` which test or seed, and what the check said for people."""

    verdict: Verdict
    seconds: float = 0.0
    by: str = ""
    detail: str = ""


class NotApplied(Exception):
    """A patch does not fit the code any more; says where."""


class Copy:
    """A copy of the code in a directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.root = scratch / "code"

    def apply(self, patch: Path, *, dry: bool = False) -> None:
        """Apply a patch, or only see whether it fits; raises NotApplied."""
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(self.scratch), "LC_ALL": "C"}
        command = ["git", "apply", *(["--check"] if dry else []), str(patch.resolve())]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotApplied(f"{patch.name} does not apply: {done.stderr.strip()}")
        if not dry:
            self._forget_compiled(patch)

    def _forget_compiled(self, patch: Path) -> None:
        """Drop what was compiled of the files a patch changes: two versions may have the same size and second."""
        for name in changed_files(patch):
            file = self.root / name
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
                compiled.unlink()

    def run(self, check: Check, *, hangs: bool = False) -> Outcome:
        """Run a check here and judge what it said; `hangs` lets running out of time count as being caught."""
        report, log = self.scratch / "report", self.scratch / "log"
        report.write_text("")
        began = time.monotonic()
        status = self._status(check, report, log)
        outcome = judge(status, report.read_text().splitlines(), log.read_text(errors="replace"), self.root)
        if outcome.verdict is Verdict.HUNG and hangs:
            outcome = msgspec.structs.replace(outcome, verdict=Verdict.CAUGHT)
        return msgspec.structs.replace(outcome, seconds=time.monotonic() - began)

    def _status(self, check: Check, report: Path, log: Path) -> int | None:
        with log.open("wb") as output:
            child = subprocess.Popen(
                check.command(self.scratch),
                cwd=self.root,
                env=_environment(self.root, report),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return child.wait(check.seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(child)


def changed_files(patch: Path) -> list[str]:
    """Return the files a patch changes, as paths from the root of the repository."""
    return re.findall(r"^\+\+\+ b/(.+)$", patch.read_text(), re.MULTILINE)


def judge(status: int | None, report: list[str], output: str, root: Path) -> Outcome:
    """Return what a child that ended with `status` (None: it was stopped) found out about the code below `root`."""
    told: dict[str, list[list[str]]] = {}
    for line in report:
        what, *words = line.split("\t")
        told.setdefault(what, []).append(words)
    if reason := _why_it_cannot_run(told, root):
        return Outcome(Verdict.BROKEN, detail=f"{reason}: {output[-_SHOWN:]}")
    if failures := told.get("failed"):
        return _judge_failure(*failures[0])
    match status:
        case 0:
            return Outcome(Verdict.SURVIVED)
        case None:
            return Outcome(Verdict.HUNG, by="running out of time", detail=output[-_SHOWN:])
        case _ if status == _FAILED and (found := _SEED.search(output)) is not None:
            return _judge_violation(found[1], found[0])
    return Outcome(Verdict.BROKEN, detail=f"exit status {status}: {output[-_SHOWN:]}")


def _why_it_cannot_run(told: Mapping[str, list[list[str]]], root: Path) -> str:
    imported = {name: Path(path) for name, path in told.get("package", [])}
    strangers = [str(path) for path in imported.values() if not path.is_relative_to(root)]
    if "crashed" in told:
        return f"it ended with {told['crashed'][0][0]}"
    if strangers:
        return f"{strangers[0]} was imported, which is not in the copy"
    return "" if set(imported) == set(PACKAGES) else "it did not come to import the code"


def _judge_failure(test: str, error: str, text: str) -> Outcome:
    if error in _NOT_BEHAVIOUR:
        return Outcome(Verdict.BROKEN, by=test, detail=f"{error}: {text}")
    if error == "Failed" and text.startswith(_OUT_OF_TIME):
        return Outcome(Verdict.HUNG, by=test, detail=text)
    return Outcome(Verdict.CAUGHT, by=test, detail=f"{error}: {text}")


def _judge_violation(seed: str, text: str) -> Outcome:
    broken = any(error in text for error in _NOT_BEHAVIOUR)
    return Outcome(Verdict.BROKEN if broken else Verdict.CAUGHT, by=f"seed {seed}", detail=text[:_SHOWN])


@contextmanager
def copied(below: Path | None = None, *, root: Path = ROOT) -> Iterator[Copy]:
    """Copy the code below a new directory, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="planted-", dir=below) as scratch:
        copy = Copy(Path(scratch).resolve())
        copy.root.mkdir()
        for name in COPIED:
            _copy(root / name, copy.root / name)
        yield copy


def plant(patch: Path, check: Check, *, hangs: bool = False, below: Path | None = None) -> Outcome:
    """Run a check on a copy of the code with a bug in it."""
    with copied(below) as copy:
        try:
            copy.apply(patch)
        except NotApplied as error:
            return Outcome(Verdict.NOT_APPLIED, detail=str(error))
        return copy.run(check, hangs=hangs)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    else:
        shutil.copy(source, target)


def _environment(root: Path, report: Path) -> Mapping[str, str]:
    paths = [str(root / "coordinator"), str(root / "node"), str(root)]
    mine = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", REPORT: str(report)}
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | mine


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started and left behind."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
