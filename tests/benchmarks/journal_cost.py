"""What the journal costs: acquire + release against three node processes with journals and without, side by side.

`python -m tests.benchmarks.journal_cost [--rounds 5] [--seconds 2]` starts two clusters on free loopback ports and
measures them in turn, round after round, so that a machine that is busy now and then is unfair to neither. Printed:
microseconds per cycle with one worker (median and 99th percentile of all rounds), cycles per second with a hundred,
and how many commits a node made then and how many rows they held. Ratios of one run mean something, single figures
little.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.benchmarks import counted_node

from lockmanager import Coordinator
from lockmanager.testing import LocalCluster
from lockmanager.testing.process_node import ProcessNode

WORKERS = 100


@dataclass(slots=True)
class Figures:
    """What was measured of one cluster; durations in seconds."""

    alone: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


async def cycle(coordinator: Coordinator, name: str) -> None:
    async with coordinator.lock(name, ttl=30):
        pass


async def alone(coordinator: Coordinator, seconds: float, figures: Figures) -> None:
    """Let one worker acquire and release again and again."""
    end = time.perf_counter() + seconds
    number = 0
    while (begin := time.perf_counter()) < end:
        await cycle(coordinator, f"alone/{number % 50}")
        figures.alone.append(time.perf_counter() - begin)
        number += 1


async def crowd(coordinator: Coordinator, seconds: float, figures: Figures) -> None:
    """Let a hundred workers acquire and release, each a name of its own."""
    begin = time.perf_counter()
    end = begin + seconds

    async def work(worker: int) -> int:
        cycles = 0
        while time.perf_counter() < end:
            await cycle(coordinator, f"crowd/{worker}")
            cycles += 1
        return cycles

    done = sum(await asyncio.gather(*(work(worker) for worker in range(WORKERS))))
    figures.per_second.append(done / (time.perf_counter() - begin))


async def measure(rounds: int, seconds: float) -> dict[str, Figures]:
    found = {"in memory": Figures(), "with journal": Figures()}
    async with (
        LocalCluster(3, processes=True, journal=False) as memory,
        CountedCluster(3, processes=True) as disk,
        memory.coordinator() as on_memory,
        disk.coordinator() as on_disk,
    ):
        sides = [(on_memory, found["in memory"]), (on_disk, found["with journal"])]
        for coordinator, _ in sides:
            await alone(coordinator, 0.3, Figures())
        for _ in range(rounds):
            for coordinator, figures in sides:
                await alone(coordinator, seconds, figures)
                await crowd(coordinator, seconds, figures)
            sides.reverse()
        await disk.stop(*disk.node_ids)
        show_commits(disk, rounds * 2 * seconds)
    return found


class CountedNode(ProcessNode):
    """A node that counts what its journal writes."""

    _module = counted_node.__name__

    @property
    def counted(self) -> str:
        """The last line it said."""
        return self._log.read_text(encoding="utf-8").strip().splitlines()[-1]


class CountedCluster(LocalCluster):
    """A local cluster of counted nodes with journals."""

    def _new_node(self, node: str) -> CountedNode:
        self.counted[node] = CountedNode(self.cluster, node, self.config_path, self.data_dir(node))
        return self.counted[node]

    counted: ClassVar[dict[str, CountedNode]] = {}


def show_commits(cluster: CountedCluster, seconds: float) -> None:
    """Say how the decisions of the whole run shared commits."""
    for node, counted in cluster.counted.items():
        figures = dict(part.split("=") for part in counted.counted.split())
        commits, rows = int(figures["commits"]), int(figures["rows"])
        print(f"{node}: {commits / seconds:.0f} commits/s, {rows / commits:.1f} rows per commit")


def show(found: dict[str, Figures]) -> None:
    for side, figures in found.items():
        ordered = sorted(figures.alone)
        median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        many = statistics.median(figures.per_second)
        one = f"1 worker {median * 1e6:7.0f} us (p99 {late * 1e6:7.0f})"
        print(f"{side:13} {one}   {WORKERS} workers {many:8.0f} cycles/s")
    memory, disk = found["in memory"], found["with journal"]
    slower = statistics.median(disk.alone) / statistics.median(memory.alone)
    fewer = statistics.median(memory.per_second) / statistics.median(disk.per_second)
    print(f"with a journal a cycle takes {slower:.2f} times as long, and a crowd does 1/{fewer:.2f} of the cycles")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    show(asyncio.run(measure(options.rounds, options.seconds)))
    show_disk()


def show_disk() -> None:
    """Say what one synced commit costs on this disk, without any node."""
    with tempfile.TemporaryDirectory() as directory:
        db = sqlite3.connect(Path(directory) / "probe.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE t (x)"):
            db.execute(statement)
        begin = time.perf_counter()
        for number in range(500):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        print(f"one synced commit of one row, SQLite alone: {(time.perf_counter() - begin) / 500 * 1e6:.0f} us")
        db.close()


if __name__ == "__main__":
    main()
