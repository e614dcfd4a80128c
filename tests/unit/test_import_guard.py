"""The walls of the house: pure rooms reach no clock, loop, socket or chance, and each side keeps to itself."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.support.imports import OURS, Source

PURE = [
    *(
        f"lockmanager_node.{room}"
        for room in ("table", "books", "records", "line", "lock", "limits", "deadlines", "silence")
    ),
    "lockmanager_node.recovery",
    *(f"lockmanager.{room}" for room in ("acquisition", "ballot", "patience", "topology", "wire", "durations")),
    *(f"lockmanager.{room}" for room in ("checks", "failover", "framing", "releases", "renewals", "verdict")),
    *(f"lockmanager.cli.bench.{room}" for room in ("figures", "names", "showing")),
]
CLOCKS_AND_CHANCE = {"datetime", "random", "sched", "secrets", "time", "uuid"}
LOOPS_AND_THREADS = {"aiohttp", "asyncio", "concurrent", "multiprocessing", "queue", "threading", "uvloop"}
FILES_AND_STREAMS = {"builtins", "io", "logging", "os", "pathlib", "shutil", "sqlite3", "sys", "tempfile"}
MACHINE_AND_NETWORK = {"ctypes", "http", "platform", "select", "selectors", "signal", "socket", "ssl", "subprocess"}
IMPURE = CLOCKS_AND_CHANCE | LOOPS_AND_THREADS | FILES_AND_STREAMS | MACHINE_AND_NETWORK
HELPERS = frozenset({"msgspec", "yaml"})
"""What pure rooms may use from outside the standard library: text in, values out."""
IMPURE_CALLS = frozenset({"open", "print", "input", "breakpoint", "exec", "eval", "__import__"})

NODE_MAY_USE = frozenset(f"lockmanager.{room}" for room in ("wire", "topology", "clock", "durations", "framing"))
MAY_START_NODES = ("lockmanager.cli", "lockmanager.testing")


def forbidden(source: Source, room: str) -> list[str]:
    """Return the ways from a pure room to what it must not reach."""
    strangers = [module for module in source.chains(room) if not source.path(module)]
    return [source.chains(room)[module] for module in strangers if not _is_pure(module.split(".")[0])]


def _is_pure(top: str) -> bool:
    return top not in IMPURE and (top in sys.stdlib_module_names or top in HELPERS)


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_reaches_no_clock_no_loop_no_socket_and_no_chance(room: str) -> None:
    assert forbidden(OURS, room) == []


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_opens_no_file_and_prints_nothing(room: str) -> None:
    ours = [module for module in OURS.chains(room) if (path := OURS.path(module)) and _impure_calls(path)]
    assert ours == []


def _impure_calls(path: Path) -> list[str]:
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return [call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id in IMPURE_CALLS]


@pytest.mark.parametrize("module", OURS.modules("lockmanager_node"))
def test_the_node_uses_only_the_shared_rooms_of_the_library(module: str) -> None:
    used = {one.module for one in OURS.imports(module) if one.module.split(".")[0] == "lockmanager"}
    assert used <= NODE_MAY_USE


@pytest.mark.parametrize("module", OURS.modules("lockmanager"))
def test_the_library_starts_nodes_only_from_inside_functions_of_cli_and_testing(module: str) -> None:
    used = [one for one in OURS.imports(module) if one.module.split(".")[0] == "lockmanager_node"]
    assert all(one.in_function for one in used)
    assert not used or module.startswith(MAY_START_NODES)


def test_the_walls_stand_where_the_modules_are() -> None:
    assert "lockmanager_node.table" in OURS.modules("lockmanager_node")
    assert "lockmanager.wire" in OURS.modules("lockmanager")


def house(tmp_path: Path, **files: str) -> Source:
    for name, text in files.items():
        path = tmp_path / "pkg" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Source((("pkg", tmp_path),))


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "import asyncio.events",
        "from os import path",
        "def f():\n    import random",
        "try:\n    import aiohttp\nexcept ImportError:\n    pass",
        "import a_stranger",
    ],
)
def test_the_guard_sees_a_forbidden_import(tmp_path: Path, text: str) -> None:
    assert forbidden(house(tmp_path, room=text), "pkg.room") != []


def test_the_guard_follows_imports_and_names_the_way(tmp_path: Path) -> None:
    source = house(
        tmp_path, room="from . import near", near="from .far import x", far="from pkg.end import y", end="import time"
    )
    assert forbidden(source, "pkg.room") == ["pkg.room -> pkg.near -> pkg.far -> pkg.end -> time"]


def test_the_guard_follows_a_name_taken_from_the_package_itself(tmp_path: Path) -> None:
    source = house(tmp_path, __init__="from time import time as now", room="from pkg import now")
    assert forbidden(source, "pkg.room") == ["pkg.room -> pkg -> time"]


def test_the_guard_lets_pure_imports_and_those_for_types_pass(tmp_path: Path) -> None:
    text = "import heapq\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio\nimport msgspec"
    assert forbidden(house(tmp_path, room=text), "pkg.room") == []


def test_a_room_that_is_missing_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no module pkg\.nowhere"):
        forbidden(house(tmp_path, room=""), "pkg.nowhere")
