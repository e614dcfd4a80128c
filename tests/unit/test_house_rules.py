"""What holds for every file: rooms stay small, and nothing tells of the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("coordinator", "node", "tests", "deploy")
LONGEST = 400


def _modules() -> list[Path]:
    return [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in _modules()}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_every_module_says_in_its_first_line_why_it_is_there() -> None:
    modules = [path for path in _modules() if path.read_text(encoding="utf-8").strip()]
    silent = [path.relative_to(ROOT) for path in modules if not path.read_text(encoding="utf-8").startswith('"""')]
    assert silent == []


def test_no_file_names_a_home_directory() -> None:
    homes = re.compile(r"(^|[^A-Za-z0-9_./-])/(home|root|Users)/")
    named = [path.relative_to(ROOT) for path in _modules() if homes.search(path.read_text(encoding="utf-8"))]
    assert named == []


def test_the_package_tells_that_it_is_typed() -> None:
    assert (ROOT / "coordinator" / "lockmanager" / "py.typed").is_file()
    assert (ROOT / "node" / "lockmanager_node" / "py.typed").is_file()
