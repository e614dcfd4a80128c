"""The demonstration as `make demo` runs it: it keeps every promise, and says so only when it does."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.child_processes import children
from tests.support.cli import Ending, eventually, is_alive, lockmanager, start

pytestmark = pytest.mark.processes

BROKEN = {
    "fences": ["fences strictly rising"],
    "order": ["order kept by ticket"],
    "guard": ["fences strictly rising", "stale writes refused"],
}


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it; its own deadline comes first, so that it can clean up."""
    return lockmanager("demo", *arguments, deadline=60)


def failures(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the promises that the summary calls broken."""
    lines = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    return [line.split("  ")[1] for line in lines]


def test_it_keeps_every_promise_and_shows_the_fence_the_wait_and_the_refused_write() -> None:
    result = demo()
    assert result.returncode == 0, result.stdout
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert failures(result) == []
    assert result.stdout.count("REFUSED") == 1
    assert result.stdout.count(" holds the lock, fence ") >= 52
    for words in ("node2 is killed", "node2 is started again", "acquisitions", "longest wait", "all promises kept"):
        assert words in result.stdout


@pytest.mark.slow
def test_whatever_is_broken_on_purpose_is_noticed() -> None:
    with ThreadPoolExecutor() as several:
        results = dict(zip(BROKEN, several.map(lambda broken: demo("--break", broken), BROKEN), strict=True))
    assert {broken: failures(result) for broken, result in results.items()} == BROKEN
    assert {result.returncode for result in results.values()} == {1}


def test_interrupted_it_leaves_no_process_behind() -> None:
    with Ending(start("demo")) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if " holds the lock" in line)
        started = children(process.pid)
        assert len(started) == 5
        process.terminate()
        process.communicate(timeout=15)
        assert process.returncode == 143
        eventually(lambda: not any(is_alive(pid) for pid in started), "nodes and workers have ended")
