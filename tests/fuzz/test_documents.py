"""Whatever stands in a cluster's description, or is handed to a coordinator, is used or refused in one clear error."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from yarl import URL

from lockmanager import ConfigurationError, RequestRejected
from lockmanager.checks import checked_label, checked_name, checked_ttl, checked_wait
from lockmanager.discovery import ClusterDocuments, LastGood, read_cluster_file
from lockmanager.topology import Cluster, InvalidCluster, Limits, document, from_document, parse_cluster, render_yaml
from lockmanager_node.access import Access, Verdict

from .loops import Stage, real_time
from .nonsense import damaged, one_of_many, spliced, weighted, wild_integers, wild_texts
from .properties import holds, tried

EXAMPLE: Final = {
    "name": "orders",
    "epoch": 3,
    "nodes": [
        {"id": "node1", "url": "http://node1:8000", "public_url": "https://one.example"},
        {"id": "node2", "url": "http://10.0.0.2:8000"},
        {"id": "node3", "url": "http://[fd00::3]:8000"},
    ],
    "replicas": 3,
    "defaults": {"ttl": 10.0},
    "limits": {"name_bytes": 100, "max_ttl": 3600.0, "min_ttl": 0.5},
    "api_keys": [{"id": "deploy", "sha256": "0" * 64}],
    "classic": {"enabled": False},
}
TEXT: Final = yaml.safe_dump(EXAMPLE, sort_keys=False)

_ODD: Final = [
    *("http://", "http://a:99999", "ftp://a", "http://user:secret@a", "http://[::1", "http://a/path", "node1", "."),
    *("0" * 64, "\ud800", "no", "~", "1e999", "2000-99-99", "0x", "!!int ''", "*a", "&a [*a]", "<<: {a: b}", "? [a]"),
]
_scalars = st.one_of(
    st.none(), st.booleans(), wild_integers, st.floats(), wild_texts, one_of_many(_ODD), st.just(10**400), st.dates()
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(wild_texts | st.sampled_from(list(EXAMPLE)), inner, max_size=3)
    ),
    max_leaves=5,
)
_paths = st.lists(st.integers(0, 8), min_size=1, max_size=3)


def _changed(path: list[int], key: str | None, value: Any) -> Any:
    """Return the example with another value at one place, or under another key there."""
    whole = json.loads(json.dumps(EXAMPLE))
    inside = whole
    for step in path[:-1]:
        below = list(inside.values() if isinstance(inside, dict) else inside)[step % len(inside)]
        if not isinstance(below, dict | list):
            break
        inside = below
    if isinstance(inside, list):
        inside[path[-1] % len(inside)] = value
    else:
        inside[key if key is not None else list(inside)[path[-1] % len(inside)]] = value
    return whole


objects = st.builds(_changed, _paths, weighted((5, st.none()), (1, wild_texts)), _values) | _values


def _as_yaml(value: Any) -> str:
    return yaml.dump(value, allow_unicode=True)


_yaml_texts = st.builds(_as_yaml, objects)
_whole = st.just(TEXT.encode())
_bytes_of_yaml: SearchStrategy[bytes] = st.one_of(
    _yaml_texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    damaged(_whole),
    spliced(_whole),
    st.builds(
        lambda at, odd: TEXT[:at].encode() + odd.encode("utf-8", "surrogatepass") + TEXT[at:].encode(),
        st.integers(0, len(TEXT)),
        one_of_many(_ODD),
    ),
    st.binary(max_size=40),
    one_of_many([b"[" * 1_100, b"a: &a [*a, *a]\n" * 50, b"- " * 1_100, b"\x00", b"\xff\xfe"]),
)


def _require_usable(cluster: Cluster) -> None:
    """What was accepted reads back as the same, as a file and as a document."""
    assert parse_cluster(render_yaml(cluster)) == cluster
    told = from_document(msgspec.json.decode(msgspec.json.encode(document(cluster))))
    assert told.fingerprint == cluster.fingerprint
    assert set(cluster.preference("a")) == set(cluster.node_ids)


@contextmanager
def _one_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lockmanager-") as directory:
        yield Path(directory) / "cluster.yaml"


@holds("document", _one_file, examples=80, data=_bytes_of_yaml)
def test_a_cluster_file_is_read_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    cluster = tried(lambda: read_cluster_file(path), ConfigurationError)
    event(type(cluster).__name__)
    if isinstance(cluster, Cluster):
        _require_usable(cluster)
    else:
        assert str(path) in str(cluster)


@holds("document", examples=100, value=objects)
def test_a_cluster_document_is_read_or_refused(world: None, value: Any) -> None:
    cluster = tried(lambda: from_document(value), InvalidCluster)
    event(type(cluster).__name__)
    assert str(cluster)
    if isinstance(cluster, Cluster):
        assert set(cluster.preference("a")) == set(cluster.node_ids)


async def _load(body: bytes) -> None:
    class Documents(ClusterDocuments):
        async def _fetch(self, _: URL) -> bytes:
            return body

    said = ""
    try:
        cluster = await Documents(last_good=LastGood()).load("http://node1:8000")
    except ConfigurationError as refused:
        said = str(refused)
    event("refused" if said else "read")
    assert "http://node1:8000/v1/cluster" in said if said else cluster.node_ids


def _as_json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


_bodies = st.one_of(
    st.builds(_as_json, objects), damaged(st.just(_as_json(EXAMPLE))), st.binary(max_size=40), st.just(b"[" * 5_000)
)


@holds("document", real_time, examples=60, body=_bodies)
def test_whatever_a_node_answers_about_its_cluster_is_read_or_refused(stage: Stage, body: bytes) -> None:
    stage.run(_load(body))


_LIMITS: Final = Limits()
_CHECKS: Final[list[tuple[Callable[[Any], Any], Callable[[Any], bool]]]] = [
    (lambda value: checked_name(value, _LIMITS), lambda name: 1 <= len(name.encode()) <= _LIMITS.name_bytes),
    (lambda value: checked_label(value, _LIMITS), lambda label: len(label.encode()) <= _LIMITS.label_bytes),
    (lambda value: checked_ttl(value, _LIMITS), lambda ttl: 100_000 <= ttl <= 2_592_000_000_000),
    (checked_wait, lambda wait: wait is None or wait >= 0),
]
"""How what callers hand in is checked, and what holds of what passes."""


@holds("document", examples=100, value=_values | st.just("\ud800") | st.floats())
def test_what_callers_hand_in_is_used_or_rejected(world: None, value: Any) -> None:
    for check, is_sound in _CHECKS:
        checked = tried(partial(check, value), RequestRejected)
        assert isinstance(checked, RequestRejected) or is_sound(checked)


@holds(
    "document",
    examples=40,
    header=st.none() | wild_texts | st.builds("Bearer {}".format, wild_texts) | st.just("\udcff"),
)
def test_no_header_opens_a_door(world: None, header: str | None) -> None:
    access = Access(parse_cluster(TEXT))
    verdicts: list[Verdict] = [access.allows(header), access.allows_peer(header)]
    assert not any(verdict.allowed for verdict in verdicts)
