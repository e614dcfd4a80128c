"""`lockmanager up` and `lockmanager node`: nodes for trying things out, which leave nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from lockmanager.discovery import read_cluster_file
from lockmanager.testing.local_cluster import free_ports
from tests.integration.child_processes import children
from tests.support.cli import Ending, eventually, is_alive, lockmanager, start

pytestmark = pytest.mark.processes


def until(process: subprocess.Popen[str], words: str) -> str:
    """Return what the process says up to the line that begins with these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(words):
            return said
    raise AssertionError(f"{words!r} is not in {said!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_tells_where_its_nodes_are_and_stops_them_all(number: signal.Signals, tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    command = ("up", "--nodes", "3", "--config", str(config))
    with Ending(start(*command)) as process:
        said = until(process, "Stop:")
        cluster, nodes = read_cluster_file(config), children(process.pid)
        assert len(nodes) == 3
        assert [line.split() for line in said.splitlines()[:3]] == [[node.id, node.url] for node in cluster.nodes]
        assert str(config) in said
        assert config.read_text() in said
        result = lockmanager("run", "hello", "--config", str(config), "--wait", "5", "--", "echo", "it works")
        assert result.stdout == "it works\n"
        process.send_signal(number)
        assert process.wait(10) == 0
        assert not any(is_alive(node) for node in nodes)
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_up_that_is_stopped_while_its_nodes_start_leaves_none_behind() -> None:
    with Ending(start("up", "--nodes", "2")) as process:
        eventually(lambda: children(process.pid), "a node is being started")
        process.terminate()
        seen: set[int] = set()
        while process.poll() is None:
            seen.update(children(process.pid))
        assert process.returncode == 0
        assert len(seen) == 2
        assert not any(is_alive(node) for node in seen)


def test_up_writes_its_file_again_over_its_own(tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text("name: local\nnodes:\n- {id: node1, url: 'http://127.0.0.1:1'}\n")
    with Ending(start("up", "--nodes", "1", "--config", str(config))) as process:
        until(process, "Stop:")
        assert read_cluster_file(config).nodes[0].url != "http://127.0.0.1:1"
        process.terminate()
        assert process.wait(10) == 0


def test_up_says_where_it_cannot_write(tmp_path: Path) -> None:
    result = lockmanager("up", "--nodes", "1", "--config", str(tmp_path / "no" / "cluster.yaml"))
    assert result.returncode == 78
    assert re.match(r"lockmanager: cannot write .*cluster\.yaml", result.stderr)


def test_node_runs_one_node_with_the_node_s_own_options() -> None:
    (port,) = free_ports(1)

    def is_ready() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    with Ending(start("node", "--listen", f"127.0.0.1:{port}", "--node-id", "solo")) as process:
        eventually(is_ready, "the node is ready")
        process.terminate()
        assert process.wait(10) == 0


def test_node_tells_its_own_options_and_mistakes() -> None:
    assert "--data-dir" in lockmanager("node", "--help").stdout
    wrong = lockmanager("node", "--listen", "nowhere")
    assert wrong.returncode == 78
    assert wrong.stderr.startswith("lockmanager: --listen is 'nowhere'")
