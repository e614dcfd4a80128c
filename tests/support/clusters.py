"""Descriptions of clusters that tests share."""

from __future__ import annotations

from lockmanager.topology import Cluster, NodeAddress

HASH = "0f" * 32
ONE_NODE = "name: shop\nnodes: [{id: a, url: 'http://h:1'}]\n"
FULL = f"""
name: shop
epoch: 3
replicas: 3
nodes:
  - {{id: node1, url: "http://node1:8000", public_url: "http://localhost:8001"}}
  - {{id: node2, url: "http://node2:8000", public_url: "http://localhost:8002"}}
  - {{id: node3, url: "http://node3:8000"}}
defaults: {{ttl: 20}}
limits: {{max_ttl: 600, waiters: 50}}
api_keys: [{{id: web, sha256: {HASH}}}]
classic: {{enabled: false, key_sha256: "{HASH}"}}
"""


def cluster_of(count: int, *, replicas: int = 0, epoch: int = 1) -> Cluster:
    nodes = tuple(NodeAddress(f"node{number}", f"http://node{number}:8000") for number in range(1, count + 1))
    return Cluster(name="shop", nodes=nodes, replicas=replicas, epoch=epoch)
