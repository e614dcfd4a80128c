"""A cluster as it is told: the document of `GET /v1/cluster`, and a `cluster.yaml` written for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lockmanager.topology import Cluster, InvalidCluster, Limits, document, from_document, parse_cluster, render_yaml
from tests.support.clusters import FULL, ONE_NODE, cluster_of


def test_the_document_tells_the_topology_and_no_secrets() -> None:
    cluster = parse_cluster(FULL)
    assert document(cluster) == {
        "name": "shop",
        "epoch": 3,
        "replicas": 3,
        "fingerprint": cluster.fingerprint,
        "nodes": [
            {"id": "node1", "url": "http://node1:8000", "public_url": "http://localhost:8001"},
            {"id": "node2", "url": "http://node2:8000", "public_url": "http://localhost:8002"},
            {"id": "node3", "url": "http://node3:8000", "public_url": None},
        ],
        "defaults": {"ttl": 20.0},
        "limits": {"max_ttl": 600.0, "waiters": 50},
    }


def test_a_cluster_read_from_its_document_is_the_same_to_a_client() -> None:
    cluster = parse_cluster(FULL)
    again = from_document(json.loads(json.dumps(document(cluster))))
    assert (again.name, again.nodes, again.defaults) == (cluster.name, cluster.nodes, cluster.defaults)
    assert again.limits == cluster.limits
    assert again.fingerprint == cluster.fingerprint


def test_limits_that_are_not_the_usual_ones_reach_a_client_by_the_document() -> None:
    cluster = parse_cluster(ONE_NODE + "defaults: {ttl: 0.05}\nlimits: {min_ttl: 0.01}")
    again = from_document(document(cluster))
    assert (again.defaults.ttl, again.limits.min_ttl) == (0.05, 0.01)


def test_a_document_without_limits_means_the_usual_ones() -> None:
    told = document(parse_cluster(FULL))
    del told["limits"]
    assert from_document(told).limits == Limits()


def changed(**changes: Any) -> dict[str, Any]:
    return document(cluster_of(3)) | changes


def test_a_document_with_a_foreign_fingerprint_is_refused() -> None:
    with pytest.raises(InvalidCluster, match="fingerprint does not fit"):
        from_document(changed(replicas=2))


def test_a_document_without_a_fingerprint_is_read() -> None:
    obj = changed()
    del obj["fingerprint"]
    assert from_document(obj).fingerprint == cluster_of(3).fingerprint


def test_a_document_of_a_later_version_is_read_without_what_it_adds() -> None:
    obj = changed(region="north", defaults={"ttl": 5, "wait": 1})
    obj["nodes"][0]["weight"] = 2
    assert from_document(obj).defaults.ttl == 5.0


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ([], "has a list where an object with 'name' belongs"),
        (changed(nodes=[1]), "has a int where an object with 'id' belongs"),
        (changed(defaults=7), "has a int where an object with 'ttl' belongs"),
        (changed(nodes="n"), "nodes: Expected `array`, got `str`"),
        (changed(name=None), "name: Expected `str`, got `null`"),
    ],
)
def test_a_malformed_document_is_refused_by_field(obj: object, expected: str) -> None:
    with pytest.raises(InvalidCluster) as caught:
        from_document(obj)
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", [FULL, ONE_NODE, "name: 'ключ: 1'\nnodes: [{id: '1', url: 'http://h'}]"])
def test_rendered_yaml_reads_back_as_the_same_cluster(text: str) -> None:
    cluster = parse_cluster(text)
    assert parse_cluster(render_yaml(cluster)) == cluster


def test_rendered_yaml_leaves_defaults_out() -> None:
    expected = "name: shop\nnodes:\n- id: node1\n  url: http://node1:8000\nreplicas: 1\n"
    assert render_yaml(cluster_of(1)) == expected
    assert render_yaml(parse_cluster(expected + "limits: {}\ndefaults: {ttl: 10}")) == expected


def test_rendered_yaml_keeps_letters_readable() -> None:
    assert render_yaml(Cluster(name="ключ", nodes=cluster_of(1).nodes)).startswith("name: ключ\n")
