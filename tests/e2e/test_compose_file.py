"""The compose file and its cluster.yaml fit each other; read as text, so that this runs where no engine is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.e2e.stack import CLUSTER_FILE, NODES, PORTS, ROOT, SILENCE

from lockmanager.topology import parse_cluster

OWN = {"build", "environment", "ports", "volumes"}
"""What may differ: who a node is, where it is published and keeps its data, which one builds the image."""

REFUSED_OR_OBSOLETE = {"version", "name"}
"""Top-level keys: v2 calls the first obsolete, 1.29 refuses the second."""


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_three_nodes_are_described_and_nothing_else(compose: dict[str, Any]) -> None:
    assert tuple(compose["services"]) == NODES
    assert tuple(compose["volumes"]) == NODES
    assert not REFUSED_OR_OBSOLETE & compose.keys()


def test_the_nodes_differ_only_in_who_they_are(compose: dict[str, Any]) -> None:
    shared = [{key: value for key, value in node.items() if key not in OWN} for node in compose["services"].values()]
    assert shared[0] == shared[1] == shared[2]


def test_the_image_is_built_once(compose: dict[str, Any]) -> None:
    assert [name for name, node in compose["services"].items() if "build" in node] == ["node1"]


@pytest.mark.parametrize("node", NODES)
def test_a_node_knows_its_id_and_keeps_its_own_data(compose: dict[str, Any], node: str) -> None:
    service = compose["services"][node]
    assert service["environment"] == {"LOCKMANAGER_NODE_ID": node}
    assert f"{node}:/var/lib/lockmanager" in service["volumes"]


@pytest.mark.parametrize("node", NODES)
def test_both_urls_of_the_cluster_file_lead_to_the_node(compose: dict[str, Any], node: str) -> None:
    cluster = parse_cluster(CLUSTER_FILE.read_text())
    assert cluster.url(node, "internal") == f"http://{node}:8000"
    assert cluster.url(node, "public") == f"http://127.0.0.1:{PORTS[node]}"
    assert compose["services"][node]["ports"] == [f"127.0.0.1:{PORTS[node]}:8000"]


def test_the_cluster_file_names_exactly_the_nodes() -> None:
    cluster = parse_cluster(CLUSTER_FILE.read_text())
    assert cluster.node_ids == NODES
    assert cluster.hints == ()


def test_a_node_is_not_called_unhealthy_for_its_silence() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    (start_period,) = re.findall(r"^HEALTHCHECK .*--start-period=(\d+)s", dockerfile, flags=re.MULTILINE)
    assert int(start_period) > SILENCE
