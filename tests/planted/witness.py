"""Runs in the child that checks a copy of the code: says which code was imported, and what failed first.

As a plugin of pytest (`-p tests.planted.witness`), or in front of another module (`-m tests.planted.witness MODULE`).
What it has to say goes into the file `PLANTED_REPORT` names, one line per fact, as the output belongs to the check.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

REPORT: Final = "PLANTED_REPORT"
PACKAGES: Final = ("lockmanager", "lockmanager_node")
CRASHED: Final = 70
"""Exit status of a module that ended with an exception of its own."""


def tell(*words: str) -> None:
    """Write one line for whoever started the child; nothing outside one."""
    path = os.environ.get(REPORT)
    if path is not None:
        with Path(path).open("a", encoding="utf-8") as report:
            report.write("\t".join(" ".join(word.split()) for word in words) + "\n")


def tell_packages() -> None:
    """Say which files the packages under test are."""
    for name in PACKAGES:
        tell("package", name, str(import_module(name).__file__))


def pytest_configure() -> None:
    try:
        tell_packages()
    except Exception as error:  # noqa: BLE001 - whatever it is, the code cannot be imported
        tell("crashed", repr(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        tell("failed", item.nodeid, call.excinfo.typename, str(call.excinfo.value)[:300])
    return report


def main() -> int:
    """Run a module as `python -m` would; returns its exit status, or `CRASHED`."""
    try:
        tell_packages()
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001 - told to whoever started the child
        traceback.print_exc()
        tell("crashed", repr(error))
        return CRASHED
    return 0


if __name__ == "__main__":
    sys.exit(main())
