"""What deploy/README.md says of nodes that do not run: its messages and statuses are those of real processes."""

from __future__ import annotations

import asyncio
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from lockmanager.testing import LocalCluster
from lockmanager.testing.local_cluster import free_ports
from lockmanager.topology import Cluster, NodeAddress, render_yaml
from lockmanager_node.store import FILE_NAME, Store
from lockmanager_node.waking import owner
from tests.support.cli import DEADLINE, Ending, environment, eventually

pytestmark = [pytest.mark.processes, pytest.mark.slow]

README = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", README, flags=re.MULTILINE)
STATUSES = {int(status) for status in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}

Options = list[str]


def _documented(said: str) -> list[str]:
    """Return the messages of the README that fit what a node said; `…` stands for anything."""

    def fits(message: str) -> bool:
        return re.fullmatch(".+".join(re.escape(part) for part in message.split("…")), said) is not None

    return [message for message in MESSAGES if fits(message)]


@dataclass
class Node:
    """A cluster of one node that can be started as a process; `data_dir` has a journal of an earlier life."""

    room: Path
    cluster: Cluster = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = Cluster("one", (NodeAddress("node1", f"http://127.0.0.1:{free_ports(1)[0]}"),))
        self.file.write_text(render_yaml(self.cluster), encoding="utf-8")
        Store(self.data_dir, owner(self.cluster, "node1")).close()

    @property
    def file(self) -> Path:
        return self.room / "cluster.yaml"

    @property
    def data_dir(self) -> Path:
        return self.room / "data"

    @property
    def journal(self) -> Path:
        return self.data_dir / FILE_NAME

    @property
    def address(self) -> str:
        return self.cluster.nodes[0].url.removeprefix("http://")

    def options(self, **changed: str) -> Options:
        given = {"cluster": str(self.file), "node_id": "node1", "listen": self.address, "data_dir": str(self.data_dir)}
        return [f"--{name.replace('_', '-')}={value}" for name, value in (given | changed).items() if value]


def _in_use(node: Node) -> Iterator[Options]:
    store = Store(node.data_dir, owner(node.cluster, "node1"))
    yield node.options()
    store.close()


def _of_another_node(node: Node) -> Iterator[Options]:
    shutil.rmtree(node.data_dir)
    Store(node.data_dir, owner(node.cluster, "node2")).close()
    yield node.options()


def _of_another_epoch(node: Node) -> Iterator[Options]:
    node.file.write_text(render_yaml(Cluster("one", node.cluster.nodes, epoch=2)), encoding="utf-8")
    yield node.options()


def _garbled(node: Node) -> Iterator[Options]:
    content = bytearray(node.journal.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    node.journal.write_bytes(content)
    yield node.options()


def _no_database_at_all(node: Node) -> Iterator[Options]:
    node.journal.write_text("not a database, though long enough for a header " * 100)
    yield node.options()


def _emptied(node: Node) -> Iterator[Options]:
    node.journal.write_bytes(b"")
    yield node.options()


def _copied_in_part(node: Node) -> Iterator[Options]:
    node.journal.rename(node.data_dir / f"{FILE_NAME}-wal")
    yield node.options()


def _of_a_newer_version(node: Node) -> Iterator[Options]:
    with closing(sqlite3.connect(node.journal)) as db:
        db.execute("PRAGMA user_version = 99")
    yield node.options()


def _not_permitted(node: Node) -> Iterator[Options]:
    yield node.options(data_dir="/sys/lockmanager")  # nobody may make a directory there


def _not_a_directory(node: Node) -> Iterator[Options]:
    yield node.options(data_dir=str(node.file))


def _of_another_user(node: Node) -> Iterator[Options]:
    node.journal.unlink()
    node.journal.mkdir()  # as little to be opened as a file of another user is, for the superuser too
    yield node.options()


def _no_cluster_file(node: Node) -> Iterator[Options]:
    node.file.unlink()
    yield node.options()


def _nobody(node: Node) -> Iterator[Options]:
    others = (NodeAddress("node2", "http://127.0.0.1:9"), NodeAddress("node3", "http://127.0.0.1:10"))
    node.file.write_text(render_yaml(Cluster("three", (*node.cluster.nodes, *others))), encoding="utf-8")
    yield node.options(node_id="")


def _somebody_else(node: Node) -> Iterator[Options]:
    yield node.options(node_id="node9")


def _port_in_use(node: Node) -> Iterator[Options]:
    host, _, port = node.address.partition(":")
    with socket.create_server((host, int(port))):
        yield node.options()


REFUSED: dict[Callable[[Node], Iterator[Options]], int] = {
    _in_use: 65,
    _of_another_node: 65,
    _of_another_epoch: 65,
    _garbled: 65,
    _no_database_at_all: 65,
    _emptied: 65,
    _copied_in_part: 65,
    _of_a_newer_version: 65,
    _not_permitted: 65,
    _not_a_directory: 65,
    _of_another_user: 65,
    _no_cluster_file: 78,
    _nobody: 78,
    _somebody_else: 78,
    _port_in_use: 78,
}
"""What is wrong, and the status with which the node ends."""


def _command(options: Options) -> list[str]:
    return [sys.executable, "-m", "lockmanager_node", *options]


def _outcome(node: Node, wrong: Callable[[Node], Iterator[Options]]) -> tuple[int, str]:
    """Start a node with something wrong; return its status and its last line, without who says it."""
    with contextmanager(wrong)(node) as options:
        done = subprocess.run(
            _command(options), env=environment(), capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    return done.returncode, done.stderr.splitlines()[-1].removeprefix("lockmanager: ")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """How nodes ended that were started with something wrong, by what it was."""
    return {wrong.__name__: _outcome(Node(tmp_path_factory.mktemp("node")), wrong) for wrong in REFUSED}


@contextmanager
def _running(node: Node, *, largest_file: int | None = None) -> Iterator[subprocess.Popen[str]]:
    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    process = subprocess.Popen(
        _command(node.options()), env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=limit
    )
    with Ending(process):
        eventually(lambda: _is_ready(node), "a ready node")
        yield process


def _is_ready(node: Node) -> bool:
    try:
        return requests.get(f"http://{node.address}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def _acquire_until_it_fails(node: Node) -> list[str]:
    """Return the names that were granted."""
    granted: list[str] = []
    try:
        while requests.post(
            f"http://{node.address}/v1/acquire", json={"name": f"name-{len(granted)}", "ttl": 600}, timeout=5
        ).ok:
            granted.append(f"name-{len(granted)}")
    except requests.ConnectionError:
        pass
    return granted


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_node_that_cannot_start_says_what_is_documented(
    outcomes: dict[str, tuple[int, str]], wrong: Callable[[Node], Iterator[Options]]
) -> None:
    status, said = outcomes[wrong.__name__]
    assert (status, len(_documented(said))) == (REFUSED[wrong], 1), said


def test_every_documented_message_is_met(outcomes: dict[str, tuple[int, str]]) -> None:
    met = {message for _, said in outcomes.values() for message in _documented(said)}
    assert [message for message in MESSAGES if message not in met] == [
        "this node stopped: the journal … cannot be written: …"
    ]
    assert {0, 74, *REFUSED.values()} == STATUSES


def test_what_is_wrong_with_a_journal_is_told_apart(outcomes: dict[str, tuple[int, str]]) -> None:
    assert " belongs to cluster " in outcomes["_of_another_epoch"][1]
    assert " belongs to node " in outcomes["_of_another_node"][1]
    assert " is in use by another process; " in outcomes["_in_use"][1]
    for wrong in ("_garbled", "_no_database_at_all", "_emptied"):
        assert " is damaged (" in outcomes[wrong][1]


def test_a_node_whose_disk_is_full_stops_and_has_all_it_answered_once_there_is_space(tmp_path: Path) -> None:
    node = Node(tmp_path)
    with _running(node, largest_file=100_000) as process:
        granted = _acquire_until_it_fails(node)
        status = process.wait(DEADLINE)
        assert process.stderr is not None
        said = process.stderr.read().splitlines()[-1].removeprefix("lockmanager: ")
    with _running(node):
        query = {"limit": "1000", "space": "node"}
        kept = requests.get(f"http://{node.address}/v1/locks", params=query, timeout=5).json()["locks"]
    assert (status, _documented(said)) == (74, ["this node stopped: the journal … cannot be written: …"])
    assert len(granted) > 10
    assert {lock["name"] for lock in kept} >= set(granted)


async def test_a_journal_copied_as_a_whole_takes_the_leases_of_its_node_along(tmp_path: Path) -> None:
    async with LocalCluster(3, processes=True) as local, local.coordinator() as coordinator:
        lease = await coordinator.acquire("moved", ttl=600, wait=5)
        await local.stop("node2")
        old = local.data_dir("node2")
        await asyncio.to_thread(subprocess.run, ["cp", "-a", f"{old}/.", str(tmp_path)], check=True)
        await local.wipe("node2")
        assert not old.exists()
        await asyncio.to_thread(tmp_path.rename, old)
        begin = time.monotonic()
        await local.start("node2")
        assert time.monotonic() - begin < DEADLINE
        url = f"{local.urls['node2']}/v1/locks"
        held = (await asyncio.to_thread(requests.get, url, params={"space": "quorum"}, timeout=5)).json()["locks"]
        lease.check()
        await lease.release()
    assert [(lock["name"], [holder["fence"] for holder in lock["holders"]]) for lock in held] == [
        ("moved", [lease.fence])
    ]
