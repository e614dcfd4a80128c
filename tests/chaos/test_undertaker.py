"""The undertaker removes exactly what was noted, also when the harness was killed and could say nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.child import REPOSITORY
from tests.chaos.namespaces import missing_namespaces, run
from tests.chaos.undertaker import Undertaker, started
from tests.support.cli import eventually, is_alive

_STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@contextmanager
def _sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", _STUBBORN])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def needs_namespaces() -> None:
    if (reason := missing_namespaces()) is not None:
        pytest.skip(reason)


def test_a_noted_process_is_gone_when_the_block_is_over_even_one_that_is_stopped() -> None:
    with _sleeper() as process:
        with Undertaker() as undertaker:
            undertaker.note_process(process.pid)
            process.send_signal(signal.SIGSTOP)
        assert process.wait(10) == -signal.SIGKILL


def test_a_process_nobody_noted_is_left_alone() -> None:
    with _sleeper() as noted, _sleeper() as other:
        with Undertaker() as undertaker:
            undertaker.note_process(noted.pid)
        assert (is_alive(noted.pid), is_alive(other.pid)) == (False, True)


def test_a_process_that_has_got_the_number_of_a_noted_one_is_left_alone() -> None:
    with _sleeper() as process:
        with Undertaker() as undertaker:
            undertaker._note("process", process.pid, started(process.pid) - 1)
        assert is_alive(process.pid)


def test_a_process_that_has_ended_has_no_beginning() -> None:
    with _sleeper() as process:
        assert started(process.pid) > 0
        process.kill()
        eventually(lambda: started(process.pid) == 0, "the process ends")
    assert started(process.pid) == 0


@pytest.mark.usefixtures("needs_namespaces")
def test_noted_namespaces_and_mounts_are_gone_when_the_block_is_over(tmp_path: Path) -> None:
    name, directory = f"lmchaos-test-{os.getpid()}", tmp_path / "small"
    directory.mkdir()
    with Undertaker() as undertaker:
        undertaker.note_namespace(name)
        undertaker.note_mount(directory)
        undertaker.note_namespace(f"{name}-never-made")
        run("ip", "netns", "add", name)
        run("mount", "-t", "tmpfs", "lmchaos", str(directory))
        assert directory.is_mount()
    assert not directory.is_mount()
    assert name not in run("ip", "netns", "list")


def test_when_the_harness_is_killed_what_it_noted_is_removed_all_the_same() -> None:
    harness = (
        "import sys, time; from tests.chaos.undertaker import Undertaker\n"
        "with Undertaker() as undertaker:\n"
        "    undertaker.note_process(int(sys.argv[1])); print('noted', flush=True); time.sleep(600)"
    )
    with _sleeper() as process:
        command = [sys.executable, "-c", harness, str(process.pid)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"noted\n"
            killed.kill()
        assert process.wait(30) == -signal.SIGKILL
