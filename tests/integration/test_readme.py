"""What the README shows is tried: its example, its commands, its cluster file."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from lockmanager.testing import LocalCluster
from lockmanager.topology import parse_cluster

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


async def test_the_example_runs_as_it_stands_and_writes_with_its_fence(tmp_path: Path) -> None:
    (example,) = _blocks("python")
    async with LocalCluster(3) as local:
        shutil.copy(local.config_path, tmp_path / "cluster.yaml")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", example, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    with sqlite3.connect(tmp_path / "orders.db") as db:
        state, fence = db.execute("SELECT state, fence FROM orders WHERE id = 42").fetchone()
    db.close()
    assert state == "paid"
    assert fence > 0


def test_the_example_has_at_most_fifteen_lines_of_code_and_uses_the_fence() -> None:
    (example,) = _blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    assert "lease.fence" in example


def test_the_cluster_file_shown_is_valid_and_gives_no_hints() -> None:
    (text,) = _blocks("yaml")
    cluster = parse_cluster(text)
    assert (len(cluster.nodes), cluster.hints) == (3, ())


def test_every_make_target_and_file_named_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert {"demo", "test", "up", "lint"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target} is not in the Makefile"
    assert (ROOT / "deploy" / "cluster.yaml").is_file()


@pytest.mark.parametrize("verb", ["up", "node", "run", "status", "locks", "bench", "demo"])
def test_every_verb_of_the_command_line_is_in_the_changelog(verb: str) -> None:
    assert f"`{verb}`" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
