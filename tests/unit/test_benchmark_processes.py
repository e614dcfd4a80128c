"""What the benchmark reads of processes: CPU of whole families, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.benchmarks.processes import Child, cpu_seconds, resident_bytes

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")

BURN = "import time\nwhile time.process_time() < 0.2: pass"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\nprint('done', flush=True)\ninput()"


def test_the_cpu_of_children_counts_after_they_are_gone_too() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert cpu_seconds([process.pid]) >= 0.19
        process.communicate(b"\n", timeout=10)


def test_a_process_that_is_gone_has_used_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(10)
    assert cpu_seconds([process.pid]) == 0.0


def test_memory_is_told_in_bytes() -> None:
    assert 2**20 < resident_bytes(os.getpid()) < 2**40


def test_a_child_speaks_in_lines_and_ends_with_its_input() -> None:
    child = Child("tests.benchmarks.echo_server")
    assert 0 < int(child.line(10.0)) < 65_536
    child.end()
    child.end()
    assert cpu_seconds([child.pid]) == 0.0


def test_a_child_that_says_nothing_is_an_error() -> None:
    begin = time.monotonic()
    with Child("http.server", "--help-me") as child, pytest.raises(RuntimeError, match=r"http\.server said nothing"):
        child.line(10.0)
    assert time.monotonic() - begin < 10
