"""The part `coverage`: do the unit tests reach every line and every branch of the pure rooms?

The pure rooms are those of the import guard and all of ours that they use. `python -m tests.evidence.coverage` runs
the unit tests and fails when one of them fails or leaves something out; `make test` begins with it.
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
_NEVER: Final = "(?!)"
"""A pattern that matches nothing."""


def pure_rooms() -> dict[str, str]:
    """Return the pure rooms with their files below the repository."""
    reached = {module for room in PURE for module in OURS.chains(room)}
    paths = ((module, OURS.path(module)) for module in sorted(reached))
    return {module: str(path.relative_to(REPOSITORY)) for module, path in paths if path}


def run(*, seconds: float, seed: int, directory: Path) -> Record:
    """Run the unit tests once; whatever they leave out is a violation, and so is a test that fails."""
    begun = time.monotonic()
    done = _measure(directory, "-q", output=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError(f"pytest {TESTS} ended with status {done.returncode}: {done.stdout}")
    return judge(_files(directory), time.monotonic() - begun)


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


def _measure(directory: Path, *options: str, output: int | None) -> subprocess.CompletedProcess[str]:
    """Run the unit tests with the pure rooms watched; no comment takes a line out of the count."""
    rooms = "\n    ".join(pure_rooms().values())
    watched = f"[run]\nbranch = true\ndata_file = {directory / 'data'}\ninclude =\n    {rooms}\n"
    config = directory / "coveragerc"
    config.write_text(f"{watched}[report]\nexclude_lines = {_NEVER}\npartial_branches = {_NEVER}\n", encoding="utf-8")
    report = [f"--cov-config={config}", f"--cov-report=json:{_report(directory)}"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--cov", *report, *options, TESTS]
    return subprocess.run(command, cwd=REPOSITORY, stdout=output, stderr=output, text=True, check=False)


def _files(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(_report(directory).read_bytes())["files"]
    return found


def _report(directory: Path) -> Path:
    return directory / "coverage.json"


def main(options: list[str]) -> int:
    """Run the unit tests with these options of pytest; returns the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        status = _measure(Path(directory), *options, output=None).returncode
        if status:
            return status
        record = judge(_files(Path(directory)), 0.0)
    for violation in record.violations:
        print(violation, file=sys.stderr)
    print(f"pure rooms: {len(record.passed)} of {record.counts['rooms']} reached whole by {TESTS}")
    return 1 if record.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
