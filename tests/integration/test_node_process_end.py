"""The end of a node process: nothing is looked through once more when all is written and told."""

from __future__ import annotations

import asyncio
import signal
import sys

from lockmanager.testing.local_cluster import free_ports
from tests.support.node_server import DEADLINE

PROGRAM = """
import atexit, gc, sys
atexit.register(lambda: print("left to the collector:", gc.get_freeze_count() == 0))
from lockmanager_node.__main__ import main
sys.exit(main(["--listen", sys.argv[1], "--log-level", "info"]))
"""


async def test_a_node_that_ends_leaves_nothing_to_the_collector() -> None:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, f"127.0.0.1:{port}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(2 * DEADLINE):
        while b"node_started" not in (line := await process.stderr.readline()):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGTERM)
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert said.decode().strip() == "left to the collector: False"
