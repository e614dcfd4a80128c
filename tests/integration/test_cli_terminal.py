"""`lockmanager run` at a terminal: the command may read it, ^C and ^Z mean what they mean without us."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockmanager.testing import LocalCluster
from tests.support.cli import DEADLINE, PROGRAM, Ending, environment, eventually, lockmanager, start, text_of

pytestmark = pytest.mark.processes

SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
print("status", os.waitstatus_to_exitcode(status), flush=True)
"""
"""The job control of a shell, as far as one job needs it: a line typed while the job is stopped lets it go on."""


TICKING = """
import sys, time
print("ready", flush=True)
while True:
    with open(sys.argv[1], "a") as file:
        file.write("tick\\n")
    time.sleep(0.01)
"""
"""Works without starting anything: a shell that is stopped while it does (by vfork) cannot say that it stopped."""


@pytest.fixture(scope="module")
def config() -> Iterator[str]:
    local = LocalCluster(3)
    asyncio.run(local.__aenter__())
    yield str(local.config_path)
    asyncio.run(local.__aexit__(None, None, None))


class Screen:
    """A terminal with a job in the foreground."""

    def __init__(self, *command: str) -> None:
        self._master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(),
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def shows(self, text: str) -> None:
        """Wait until the terminal shows a text, after what it had shown before."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} is not among {self.seen!r}"
            self.seen += os.read(self._master, 65_536).decode()
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        os.close(self._master)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    open_ones: list[Screen] = []
    yield open_ones
    for screen in open_ones:
        with Ending(screen.process):
            screen.close()


def run(screens: list[Screen], config: str, name: str, script: str, *options: str) -> Screen:
    screen = Screen(*PROGRAM, "run", name, "--config", config, *options, "--", "sh", "-c", script)
    screens.append(screen)
    return screen


def test_the_command_may_read_the_terminal(screens: list[Screen], config: str) -> None:
    screen = run(screens, config, "reads", 'echo ready; read line; echo "read <$line>"')
    screen.shows("ready")
    screen.type("hello\n")
    screen.shows("read <hello>")
    screen.shows("status 0")


def test_interrupt_reaches_a_command_that_does_not_use_the_terminal(screens: list[Screen], config: str) -> None:
    screen = run(screens, config, "interrupted", "echo ready; exec sleep 60")
    screen.shows("ready")
    screen.type("\x03")
    screen.shows("status 130")


def test_interrupt_reaches_a_command_that_reads_the_terminal(screens: list[Screen], config: str) -> None:
    script = "echo ready; read line; trap 'echo got it; exit 9' INT; echo again; read line"
    screen = run(screens, config, "interrupted reader", script)
    screen.shows("ready")
    screen.type("first\n")
    screen.shows("again")
    screen.type("\x03")
    screen.shows("got it")
    screen.shows("status 9")


def test_a_stopped_job_goes_on_where_it_was(screens: list[Screen], config: str) -> None:
    screen = run(screens, config, "stopped", 'echo ready; read line; echo "read <$line>"')
    screen.shows("ready")
    screen.type("\x1a")
    screen.shows("stopped")
    screen.type("\n")
    screen.type("hello\n")
    screen.shows("read <hello>")
    screen.shows("status 0")


def test_a_job_that_was_stopped_past_its_lease_never_runs_again(
    screens: list[Screen], config: str, tmp_path: Path
) -> None:
    ticks = tmp_path / "ticks"
    screen = run(screens, config, "overslept", f"exec {sys.executable} -c '{TICKING}' {ticks}", "--ttl", "0.5")
    screen.shows("ready")
    eventually(lambda: text_of(ticks), "the command runs")
    screen.type("\x1a")
    screen.shows("stopped")
    before = text_of(ticks)
    assert lockmanager("run", "overslept", "--config", config, "--", "true").returncode == 0
    screen.type("\n")
    screen.shows("lockmanager: ")
    screen.shows("status 79")
    assert text_of(ticks) == before


def test_without_a_terminal_a_stop_is_the_command_s_alone(config: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with Ending(start("run", "plain", "--config", config, "--", "sh", "-c", f"echo $$ > {pid}; exec sleep 60")) as job:
        eventually(lambda: text_of(pid).endswith("\n"), "the command runs")
        os.kill(int(text_of(pid)), signal.SIGTSTP)
        eventually(lambda: " T " in Path(f"/proc/{int(text_of(pid))}/stat").read_text(), "the command has stopped")
        job.send_signal(signal.SIGCONT)
        eventually(lambda: " S " in Path(f"/proc/{int(text_of(pid))}/stat").read_text(), "the command goes on")
        job.terminate()
        assert job.wait(10) == 128 + signal.SIGTERM
