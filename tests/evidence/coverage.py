"""The part `coverage`: do the unit tests reach every line and every branch of the pure rooms?

The pure rooms are those of the import guard and all of ours that they use. Only examples count: what is drawn at random
may reach something today and miss it tomorrow. `python -m tests.evidence.coverage` says what is left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.evidence.record import Record
from tests.support.imports import OURS, REPOSITORY
from tests.unit.test_import_guard import PURE

TESTS: Final = "tests/unit"
SLOW: Final = ("*_random.py", "*_journal*.py", "*_store*.py", "*_import_guard.py", "*_benchmark_*.py")
EXAMPLES: Final = ("-m", "not hypothesis", *(f"--ignore-glob={files}" for files in SLOW))
"""Leaves out what is drawn at random, and what takes its time and needs no pure room, or only what others reach too."""
_NEVER: Final = "(?!)"
"""A pattern that matches nothing."""


def pure_rooms() -> dict[str, str]:
    """Return the pure rooms with their files below the repository."""
    reached = {module for room in PURE for module in OURS.chains(room)}
    paths = ((module, OURS.path(module)) for module in sorted(reached))
    return {module: str(path.relative_to(REPOSITORY)) for module, path in paths if path}


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run the unit tests once; whatever they leave out is a violation, and a test that fails ends the measurement."""
    begun = time.monotonic()
    found = _measure(directory)
    return judge(found, time.monotonic() - begun)


def judge(files: dict[str, Any], seconds: float) -> Record:
    """Say of the pure rooms what was reached and what was not."""
    rooms = {room: files.get(path) for room, path in pure_rooms().items()}
    counts = {"rooms": len(rooms), "lines": 0, "lines/covered": 0, "branches": 0, "branches/covered": 0}
    passed: dict[str, str] = {}
    violations = [f"{room}: no unit test imports it" for room, found in rooms.items() if found is None]
    for room, found in rooms.items():
        if found is not None:
            numbers = _numbers(found["summary"])
            counts |= {name: counts[name] + number for name, number in numbers.items()}
            left_out = list(_left_out(found))
            violations += [f"{room}: {what} is not reached by {TESTS}" for what in left_out]
            passed |= {} if left_out else {room: f"{numbers['lines']} lines, {numbers['branches']} branches"}
    return Record(part="coverage", seconds=seconds, counts=counts, violations=violations, passed=passed)


def _numbers(summary: dict[str, int]) -> dict[str, int]:
    return {
        "lines": summary["num_statements"],
        "lines/covered": summary["covered_lines"],
        "branches": summary["num_branches"],
        "branches/covered": summary["covered_branches"],
    }


def _left_out(found: dict[str, Any]) -> Iterator[str]:
    yield from (f"line {line}" for line in found["missing_lines"])
    for begin, end in found["missing_branches"]:
        yield f"branch {begin}->{end if end > 0 else 'exit'}"


def _measure(directory: Path) -> dict[str, Any]:
    """Run the unit tests with the pure rooms watched; no comment takes a line out of the count."""
    rooms = "\n    ".join(pure_rooms().values())
    watched = f"[run]\nbranch = true\ndata_file = {directory / 'data'}\ninclude =\n    {rooms}\n"
    config, report = directory / "coveragerc", directory / "coverage.json"
    config.write_text(f"{watched}[report]\nexclude_lines = {_NEVER}\npartial_branches = {_NEVER}\n", encoding="utf-8")
    coverage = ["--cov", f"--cov-config={config}", f"--cov-report=json:{report}"]
    files = ["-p", "no:cacheprovider", f"--basetemp={directory / 'pytest'}"]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", *files, *coverage, *EXAMPLES, TESTS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pytest {TESTS} ended with status {done.returncode}: {done.stdout}{done.stderr}")
    read: dict[str, Any] = msgspec.json.decode(report.read_bytes())["files"]
    return read


def main() -> int:
    """Measure, and print what is left out; returns the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        record = run(seconds=0, seed=0, directory=Path(directory))
    print(*record.violations, sep="\n")
    print(f"pure rooms: {len(record.passed)} of {record.counts['rooms']} reached whole by {TESTS}")
    return 1 if record.violations else 0


if __name__ == "__main__":
    sys.exit(main())
