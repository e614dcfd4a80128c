"""A run leaves nothing on the machine, whether it is interrupted, told to end, killed, or fails by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.child import REPOSITORY, environment
from tests.chaos.namespaces import missing_namespaces, run
from tests.chaos.processes import Processes
from tests.chaos.scene import Kind, Scene
from tests.chaos.stage import Run
from tests.e2e.stack import missing_engine, used_ports
from tests.support.cli import Ending

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

_STARTS_WITHIN = 180.0
_ENDS_WITHIN = 120.0


class _Chaos:
    """A run in a process of its own, which keeps all its files below `directory`."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.chaos", "--seconds", "600", "--silence", "3", *options]
        variables = environment() | {"TMPDIR": str(directory)}
        self.directory = directory
        self._said = directory / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=said, stderr=said)

    @property
    def works(self) -> bool:
        """Whether its clients lock."""
        status = self.process.poll()
        assert status is None, f"the run ended with status {status}: {self._said.read_text(errors='replace')[-2000:]}"
        return any(history.stat().st_size for history in self.directory.glob("*/checked/*.jsonl"))

    def namespaces(self) -> list[str]:
        return [line for line in run("ip", "netns", "list").split() if line.startswith(f"lmchaos-{self.process.pid}-")]


def _eventually(condition: Callable[[], object], what: str, *, within: float = _ENDS_WITHIN) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.05)


def _processes(directory: Path) -> list[str]:
    """Return the command lines of all processes that were told of a file below this directory."""
    return [line for line in map(_read, Path("/proc").glob("[0-9]*/cmdline")) if str(directory) in line]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _mounts(directory: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]


@contextmanager
def _working(directory: Path, *options: str) -> Iterator[_Chaos]:
    chaos = _Chaos(directory, *options)
    with Ending(chaos.process):
        _eventually(lambda: chaos.works, "the clients of the run lock", within=_STARTS_WITHIN)
        yield chaos


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_that_is_ended_leaves_no_process_namespace_or_mount(tmp_path: Path, how: signal.Signals) -> None:
    with _working(tmp_path) as chaos:
        # The resource, three nodes, their nurseries, four clients, two proxies or four; some are being killed just now.
        assert len(_processes(tmp_path)) >= 10
        if missing_namespaces() is None:
            assert (len(chaos.namespaces()), len(_mounts(tmp_path))) == (8, 2)
        chaos.process.send_signal(how)
        assert chaos.process.wait(_ENDS_WITHIN) != 0
        _eventually(lambda: not _processes(tmp_path), "no process is left")
        if missing_namespaces() is None:
            _eventually(lambda: not chaos.namespaces() and not _mounts(tmp_path), "no namespace or mount is left")


class _Broken(Processes):
    """A ground on which the first fault is a mistake of the harness."""

    def kinds(self, _scene: Scene) -> list[Kind]:
        async def mistake(_chance: object) -> None:
            raise ZeroDivisionError("a mistake")

        return [Kind("mistake", "nodes", mistake)]


async def test_a_run_that_fails_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    ground = _Broken(3, 3, namespaces=missing_namespaces() is None, silence=3.0)
    with pytest.raises(ExceptionGroup):
        await Run(ground, 30.0, 1, tmp_path / "run").perform()
    assert (_processes(tmp_path), _mounts(tmp_path)) == ([], [])
    if missing_namespaces() is None:
        assert f"lmchaos-{os.getpid()}-" not in run("ip", "netns", "list")


@pytest.mark.compose
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_on_containers_that_is_ended_leaves_none(tmp_path: Path, how: signal.Signals) -> None:
    reason = missing_engine() or (f"something listens on {used_ports()}" if used_ports() else None)
    if reason is not None:
        pytest.skip(reason)
    before = _docker_has()
    with _working(tmp_path, "--containers") as chaos:
        assert len(_docker_has() - before) == 7
        chaos.process.send_signal(how)
        assert chaos.process.wait(_ENDS_WITHIN) != 0
        _eventually(lambda: not _processes(tmp_path) and not _docker_has() - before, "no container is left")


def _docker_has() -> set[str]:
    """Return all containers, networks and volumes."""
    lists = (("ps", "-aq", "--no-trunc"), ("network", "ls", "-q", "--no-trunc"), ("volume", "ls", "-q"))
    return {line for words in lists for line in run("docker", *words).split()}
