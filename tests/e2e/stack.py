"""The compose stack as a fixture drives it: start, break one node, put it right, remove everything.

Everything goes through the `docker` and compose commands, as an operator would; nothing of the system under test is
imported here. Every command has a deadline.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import requests

ROOT: Final = Path(__file__).resolve().parents[2]
CLUSTER_FILE: Final = ROOT / "deploy" / "cluster.yaml"
NODES: Final = ("node1", "node2", "node3")
PORTS: Final = {"node1": 8001, "node2": 8002, "node3": 8003}
BUILD_LIMIT: Final = 600.0
"""Seconds the image may take to build, with nothing cached and every package to fetch."""

HEALTHY_LIMIT: Final = 90.0
"""Seconds until all nodes are healthy; one that lost its disk is silent for half a minute first."""

SILENCE: Final = 30.0
"""Seconds for which a node without a journal grants nothing, unless the whole cluster is new."""

PROMPTLY: Final = 20.0
"""Seconds within which a node serves that is not silent: far more than it needs, and less than the silence."""


class CommandFailed(AssertionError):
    """A docker or compose command that ended badly; carries the command and the end of its output."""


def run(*command: str, limit: float = 60.0, stdin: str | None = None) -> str:
    """Run a command from the project's root and return its standard output; raises CommandFailed."""
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def _answers(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def compose_command() -> tuple[str, ...] | None:
    """Return `docker compose` where the plugin is installed, else `docker-compose`, else None."""
    candidates = (("docker", "compose"), ("docker-compose",))
    return next((command for command in candidates if _answers(*command, "version")), None)


def missing_engine() -> str | None:
    """Say why no compose stack can run here, or return None when one can."""
    if not _answers("docker", "info"):
        return "no Docker engine answers (`docker info` failed)"
    if compose_command() is None:
        return "neither `docker compose` nor `docker-compose` is installed"
    return None


def used_ports() -> list[int]:
    """Return those of the published ports that something on this machine already listens on."""
    return [port for port in PORTS.values() if not _free(port)]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Answer(NamedTuple):
    """What a node's `/readyz` said; status 0 and no body while nothing answers."""

    status: int
    body: dict[str, Any]


class Stack:
    """One run of docker-compose.yml under a project name of its own."""

    def __init__(self) -> None:
        command = compose_command()
        assert command is not None, "ask missing_engine() first"
        self.project: Final = f"lockmanager-e2e-{uuid4().hex[:8]}"
        self.network: Final = f"{self.project}_default"
        self._compose: Final = (*command, "-p", self.project, "-f", str(ROOT / "docker-compose.yml"))

    def compose(self, *arguments: str, limit: float = 60.0) -> str:
        return run(*self._compose, *arguments, limit=limit)

    def up(self) -> None:
        self.compose("up", "--build", "-d", limit=BUILD_LIMIT)

    def down(self) -> None:
        self.compose("down", "-v", "-t", "3", limit=120)

    def container(self, node: str) -> str:
        """Return the container's id, whatever state it is in."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={node}")
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        return run("docker", "ps", "-aq", "--no-trunc", *filters).strip()

    def inspect(self, node: str) -> dict[str, Any]:
        facts: list[dict[str, Any]] = json.loads(run("docker", "inspect", self.container(node)))
        return facts[0]

    def started_at(self, node: str) -> float:
        """Return when the node's container was started, as a wall clock tells it."""
        began: str = self.inspect(node)["State"]["StartedAt"]
        return datetime.fromisoformat(f"{began[:19]}+00:00").timestamp() + float(f"0{began[19:].rstrip('Z')}")

    def exec(self, node: str, *command: str) -> str:
        return run("docker", "exec", self.container(node), *command)

    def health(self) -> dict[str, str]:
        """Return each node's health, or its container's state where that is not `running`."""
        states = {node: self.inspect(node)["State"] for node in NODES}
        return {
            node: state["Health"]["Status"] if state["Status"] == "running" else state["Status"]
            for node, state in states.items()
        }

    def wait_healthy(self, limit: float = HEALTHY_LIMIT) -> None:
        """Return when every node is healthy; raises CommandFailed with the nodes' logs when that takes too long."""
        end = time.monotonic() + limit
        while (health := self.health()) != dict.fromkeys(NODES, "healthy"):
            if time.monotonic() > end:
                raise CommandFailed(f"not healthy after {limit:.0f} s: {health}\n{self.logs()}")
            time.sleep(0.25)

    def logs(self, *nodes: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "60", *nodes)

    def ready(self, node: str) -> Answer:
        """Ask a node whether it grants."""
        try:
            response = requests.get(f"{self.url(node)}/readyz", timeout=5)
        except requests.RequestException:
            return Answer(0, {})
        return Answer(response.status_code, response.json())

    def until_ready(self, *nodes: str, limit: float = HEALTHY_LIMIT) -> list[Answer]:
        """Return when these nodes grant, with all they said before; sooner than Docker's health check notices."""
        heard, end = [], time.monotonic() + limit
        for node in nodes:
            while (answer := self.ready(node)).status != 200:
                heard.append(answer)
                if time.monotonic() > end:
                    raise CommandFailed(f"{node} is not ready after {limit:.0f} s: {answer}\n{self.logs(node)}")
                time.sleep(0.1)
        return heard

    def holders(self, node: str, name: str, space: str = "quorum") -> list[dict[str, Any]]:
        """Return who holds a lock as one node sees it, without how long for."""
        query = {"prefix": name, "space": space}
        answer = requests.get(f"{self.url(node)}/v1/locks", params=query, timeout=5).json()
        holders = [holder for lock in answer["locks"] if lock["name"] == name for holder in lock["holders"]]
        return [{key: value for key, value in holder.items() if key != "remaining"} for holder in holders]

    def revoke(self, name: str) -> None:
        """End whatever lease there is on a quorum lock, by force."""
        for node in NODES:
            body = {"name": name, "space": "quorum", "force": True}
            requests.post(f"{self.url(node)}/v1/revoke", json=body, timeout=5).raise_for_status()

    @staticmethod
    def url(node: str) -> str:
        """Return where a node is published on this machine."""
        return f"http://127.0.0.1:{PORTS[node]}"

    def lose_disk(self, *nodes: str) -> None:
        """Take nodes down and their containers and volumes away; `start` brings them back with nothing."""
        for node in nodes:
            self.compose("rm", "--force", "--stop", node)
            run("docker", "volume", "rm", f"{self.project}_{node}")

    def start(self, *nodes: str) -> None:
        """Create what is missing of these nodes, and start them."""
        self.compose("up", "-d", *nodes)

    def in_network(self, script: str, *arguments: str, limit: float = 60.0) -> str:
        """Run a Python script in a one-off container of the nodes' image in their network; return what it prints."""
        image = self.inspect("node1")["Image"]
        jail = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        cluster = ("--volume", f"{CLUSTER_FILE}:/etc/lockmanager/cluster.yaml:ro")
        client = ("docker", "run", "--rm", "-i", *jail, *cluster, "--network", self.network, image)
        return run(*client, "python", "-", *arguments, limit=limit, stdin=script)
