"""What a cluster is: reading it, refusing bad descriptions by name, and who decides about a lock name."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lockmanager.topology import (
    ApiKey,
    Classic,
    Cluster,
    Defaults,
    InvalidCluster,
    Limits,
    NodeAddress,
    from_document,
    parse_cluster,
)
from tests.support.clusters import FULL, HASH, ONE_NODE, cluster_of

STEADY = settings(deadline=None, derandomize=True)


def test_every_setting_of_the_file_is_read() -> None:
    assert parse_cluster(FULL) == Cluster(
        name="shop",
        epoch=3,
        replicas=3,
        nodes=(
            NodeAddress("node1", "http://node1:8000", "http://localhost:8001"),
            NodeAddress("node2", "http://node2:8000", "http://localhost:8002"),
            NodeAddress("node3", "http://node3:8000"),
        ),
        defaults=Defaults(ttl=20.0),
        limits=Limits(max_ttl=600.0, waiters=50),
        api_keys=(ApiKey("web", HASH),),
        classic=Classic(enabled=False, key_sha256=HASH),
    )


def test_a_short_file_gets_the_documented_defaults() -> None:
    cluster = parse_cluster(ONE_NODE)
    assert (cluster.epoch, cluster.replicas, cluster.defaults.ttl) == (1, 1, 10.0)
    assert (cluster.api_keys, cluster.classic) == ((), Classic(enabled=True, key_sha256=None))
    assert cluster.limits == Limits(255, 128, 0.1, 30 * 86_400.0, 1_000_000, 10_000, 1 << 20, 86_400.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "top level: Expected `object`, got `null`"),
        ("nodes: [", "not readable as YAML: line 1, column 9"),
        ("name: x\n\x00", "line 2, column 1: special characters are not allowed"),
        ("name: a\nname: b", "line 2, column 1: key 'name' appears twice; keep one of them"),
        ("name: x\nnodes:\n- id: a\n  id: b", "line 4, column 3: key 'id' appears twice"),
        ("on: 1", "line 1, column 1: a key must be text"),
        ("<<: {name: a}", "line 1, column 1: a key must be text"),
        ("[a]: 1", "line 1, column 1: a key must be text"),
        ("name: a\n---\nname: b", "line 2, column 1"),
        ("x: 2000-99-99", "not readable as YAML: ValueError in a value"),
        ("!!int ''", "not readable as YAML: IndexError in a value"),
        ("!!timestamp x", "not readable as YAML: AttributeError in a value"),
        ("!!map x", "expected a mapping node, but found scalar"),
        ("[" * 1_000, "not readable as YAML: RecursionError"),
        ('"\\ud800": 1', "a key is not valid Unicode"),
        ("name: x", "top level: Object missing required field `nodes`; add it"),
        ("name: x\nnodes: []", "nodes is empty; name at least one node"),
        ("name: ''\nnodes: [{id: a, url: 'http://h'}]", "name '' must be printable text and not empty"),
        ('name: "\\ud800"\nnodes: [{id: a, url: "http://h"}]', "name '\\ud800' must be printable text"),
        ("name: 5\nnodes: []", "name: Expected `str`, got `int`, but it is 5; put the value in quotes"),
        (ONE_NODE + "colour: red", "unknown field `colour`; remove the key or correct its spelling"),
        ("name: x\nnodes: [{id: a, url: 'http://h', port: 1}]", "nodes[0]: Object contains unknown field `port`"),
        (ONE_NODE + "limits: {names: 1}", "limits: Object contains unknown field `names`"),
        ("name: x\nnodes: [{id: 7, url: 'http://h'}]", "nodes[0].id: Expected `str`, got `int`, but it is 7"),
        ("name: x\nnodes: [{id: a b, url: 'http://h'}]", "nodes[0]: node id 'a b' must be 1 to 64 of the characters"),
        ("name: x\nnodes: [{id: '', url: 'http://h'}]", "nodes[0]: node id '' must be"),
        (f"name: x\nnodes: [{{id: {'i' * 65}, url: 'http://h'}}]", "must be 1 to 64 of the characters"),
        (ONE_NODE + "replicas: 2", "replicas is 2; choose 1 to 1, the number of nodes"),
        (ONE_NODE + "replicas: 0", "replicas: Expected `int` >= 1, but it is 0"),
        (ONE_NODE + "replicas: 1.5", "replicas: Expected `int`, got `float`, but it is 1.5"),
        (ONE_NODE + "replicas: 0x" + "f" * 5_000, "replicas: Expected `int` <="),
        (ONE_NODE + "epoch: 0", "epoch: Expected `int` >= 1, but it is 0"),
        (ONE_NODE + "epoch: true", "epoch: Expected `int`, got `bool`"),
        (ONE_NODE + "defaults: {ttl: 0}", "defaults.ttl: Expected `float` > 0.0, but it is 0"),
        (ONE_NODE + "defaults: {ttl: .nan}", "defaults.ttl: Expected `float` > 0.0, but it is nan"),
        (ONE_NODE + "defaults: {ttl: .inf}", "defaults.ttl: Expected `float` <= 31536000.0, but it is inf"),
        (ONE_NODE + "defaults: {ttl: soon}", "defaults.ttl: Expected `float`, got `str`, but it is 'soon'"),
        (ONE_NODE + "defaults: {ttl: 0.05}", "defaults.ttl: 0.05 s is outside 0.1 to"),
        (ONE_NODE + "limits: {min_ttl: 9, max_ttl: 2}", "limits: min_ttl 9 is above max_ttl 2; swap them"),
        (ONE_NODE + "limits: {leases: 0}", "limits.leases: Expected `int` >= 1, but it is 0"),
        (ONE_NODE + "api_keys: [{id: '', sha256: x}]", "api_keys[0]: id '' of an API key must be printable text"),
    ],
)
def test_a_bad_description_is_refused_by_field_value_and_advice(text: str, expected: str) -> None:
    with pytest.raises(InvalidCluster) as caught:
        parse_cluster(text)
    assert expected in str(caught.value)


def test_a_duplicate_node_is_refused_and_named() -> None:
    with pytest.raises(InvalidCluster, match="nodes: id 'a' appears twice; each needs its own"):
        parse_cluster("name: x\nnodes: [{id: a, url: 'http://h:1'}, {id: a, url: 'http://h:2'}]")


def test_a_duplicate_url_is_refused_in_whatever_spelling_and_both_nodes_are_named() -> None:
    with pytest.raises(InvalidCluster, match="nodes: url 'http://h' appears twice at 'a' and 'b'"):
        parse_cluster("name: x\nnodes: [{id: a, url: 'http://h:80'}, {id: b, url: 'HTTP://H/'}]")


def test_a_duplicate_public_url_is_refused() -> None:
    nodes = (NodeAddress("a", "http://h:1", "http://p:9"), NodeAddress("b", "http://h:2", "http://p:9"))
    with pytest.raises(InvalidCluster, match="public_url 'http://p:9' appears twice at 'a' and 'b'"):
        Cluster(name="x", nodes=nodes)


def test_a_public_url_equal_to_its_own_internal_url_is_allowed() -> None:
    assert Cluster(name="x", nodes=(NodeAddress("a", "http://h:1", "http://h:1"),)).url("a", "public") == "http://h:1"


def test_a_duplicate_api_key_id_is_refused() -> None:
    with pytest.raises(InvalidCluster, match="api_keys: id 'web' appears twice"):
        Cluster(name="x", nodes=cluster_of(1).nodes, api_keys=(ApiKey("web", HASH), ApiKey("web", "aa" * 32)))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node1:8000",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:65536",
        "http://h:x",
        "http://h/path",
        "http://h?q=1",
        "http://h#f",
        "http://h h",
        "http://h\n",
        "http://[::1]x",
        "http://[:::]",
        "http://hé",
    ],
)
def test_a_url_that_is_more_or_less_than_scheme_and_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidCluster, match=r"url of node 'a' is .*; write http://host:port"):
        NodeAddress("a", url)


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("HTTP://Node_1:8000/", "http://node_1:8000"),
        ("http://h:80", "http://h"),
        ("https://h:443/", "https://h"),
        ("https://h:0080", "https://h:80"),
        ("http://[0:0::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_url_is_kept_in_one_spelling(url: str, normalised: str) -> None:
    node = NodeAddress("a", url, url)
    assert (node.url, node.public_url) == (normalised, normalised)


@pytest.mark.parametrize("nodes", ["[{id: a, url: 'http://me:swordfish@h'}]", "['http://me:swordfish@h']"])
def test_credentials_in_a_url_are_refused_and_not_repeated(nodes: str) -> None:
    with pytest.raises(InvalidCluster) as caught:
        parse_cluster(f"name: x\nnodes: {nodes}")
    assert "http://***@h" in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "api_keys: [{id: web, sha256: swordfish}]",
        "api_keys: [swordfish]",
        "api_keys: swordfish",
        "classic: {key_sha256: swordfish}",
        "classic: swordfish",
        "classic: {enabled: swordfish}",
    ],
)
def test_a_key_pasted_where_a_hash_belongs_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidCluster, match=r"api_keys|classic") as caught:
        parse_cluster(ONE_NODE + text)
    assert "swordfish" not in str(caught.value)


def test_no_repr_shows_a_hash() -> None:
    assert HASH not in repr(parse_cluster(FULL))
    assert "'web'" in repr(parse_cluster(FULL))


def test_what_is_shown_of_keys_to_people_has_no_hash() -> None:
    assert ApiKey("web", HASH).__rich_repr__() == [("id", "web")]
    assert Classic(enabled=True, key_sha256=HASH).__rich_repr__() == [("enabled", True), ("key", "set")]
    assert Classic(enabled=False).__rich_repr__() == [("enabled", False), ("key", "none")]


def test_trouble_with_a_text_that_has_no_place_in_it_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(loader: yaml.SafeLoader) -> None:
        raise yaml.YAMLError("out of sorts")

    monkeypatch.setattr(yaml.SafeLoader, "get_single_data", stumbles)
    with pytest.raises(InvalidCluster, match="not readable as YAML: out of sorts"):
        parse_cluster(ONE_NODE)


def test_a_hash_may_be_written_in_capitals() -> None:
    assert ApiKey("web", HASH.upper()) == ApiKey("web", HASH)


@STEADY
@given(st.text())
def test_any_text_is_a_cluster_or_an_invalid_cluster(text: str) -> None:
    with pytest.raises(InvalidCluster):
        parse_cluster(text)


WORDS = "name¦nodes¦id¦url¦replicas¦limits¦x¦~¦http://h¦0x¦0b¦1¦_¦:¦2001-01-01¦.nan¦-.inf"
MARKS = ': ¦- ¦\n¦\n  ¦[¦]¦{¦}¦, ¦&a ¦*a¦<<¦=¦\'¦"¦\\¦"\\ud800"¦? ¦| ¦> ¦%YAML 9.9\n¦---\n¦...\n¦#¦\t¦\ufeff'
TAGS = "!!int ¦!!float ¦!!binary ¦!!set ¦!!omap ¦!!pairs ¦!!map ¦!!seq ¦!!null ¦!!bool ¦!!timestamp ¦!!str "
PIECES = st.sampled_from([piece for pieces in (WORDS, MARKS, TAGS) for piece in pieces.split("¦")])


@STEADY
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_yaml_shaped_text_is_a_cluster_or_an_invalid_cluster(text: str) -> None:
    for whole in (text, ONE_NODE + text):
        try:
            parse_cluster(whole)
        except InvalidCluster as error:
            assert str(error)  # noqa: PT017 - both outcomes are right, any other exception is not


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["name", "nodes", "id", "url", "defaults"]) | st.text(), inner)
    ),
)


@STEADY
@given(JSON_VALUES)
def test_any_json_is_a_cluster_or_an_invalid_cluster(obj: object) -> None:
    with pytest.raises(InvalidCluster):
        from_document(obj)


def test_an_odd_number_of_replicas_gets_no_hint() -> None:
    assert cluster_of(3).hints == ()
    assert cluster_of(4, replicas=3).hints == ()


def test_an_even_number_of_replicas_is_allowed_with_a_hint() -> None:
    (hint,) = cluster_of(4).hints
    assert hint.startswith("replicas is 4, an even number: it tolerates 1 failed nodes, no more than 3 would")


def test_a_single_node_is_allowed_with_a_hint() -> None:
    (hint,) = cluster_of(1).hints
    assert hint.startswith("nodes has one entry")


def test_a_single_replica_among_many_nodes_is_allowed_with_a_hint() -> None:
    (hint,) = cluster_of(3, replicas=1).hints
    assert hint.startswith("replicas is 1")


def test_api_keys_beside_an_open_classic_api_are_allowed_with_a_hint() -> None:
    keys, nodes = (ApiKey("web", HASH),), cluster_of(3).nodes
    (hint,) = Cluster(name="x", nodes=nodes, api_keys=keys).hints
    assert hint.startswith("api_keys do not guard the classic API")
    for closed in (Classic(enabled=False), Classic(key_sha256=HASH)):
        assert Cluster(name="x", nodes=nodes, api_keys=keys, classic=closed).hints == ()


@pytest.mark.parametrize(("replicas", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_more_than_half_of_the_replicas(replicas: int, majority: int) -> None:
    assert cluster_of(5, replicas=replicas).majority == majority


def test_the_fingerprint_is_the_same_for_every_version_of_the_library() -> None:
    fingerprint = "fc3056ce7e4854be558d48666a4c0666a131e2442702f539301a9344d6d46676"
    assert cluster_of(5, replicas=3).fingerprint == fingerprint


def test_the_fingerprint_ignores_urls_order_names_and_settings() -> None:
    nodes = tuple(NodeAddress(f"node{number}", f"http://other:{number}") for number in (3, 1, 2))
    other = Cluster(name="else", nodes=nodes, defaults=Defaults(ttl=1.0), api_keys=(ApiKey("k", HASH),))
    assert other.fingerprint == cluster_of(3).fingerprint


def test_the_fingerprint_tells_node_ids_replicas_and_epochs_apart() -> None:
    clusters = [cluster_of(3), cluster_of(4), cluster_of(4, replicas=3), cluster_of(3, epoch=2)]
    assert len({cluster.fingerprint for cluster in clusters}) == len(clusters)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("orders/42", "42153"),
        ("a", "15432"),
        ("", "54312"),
        ("ключ", "15234"),
    ],
)
def test_the_order_of_a_name_is_the_same_for_every_version_of_the_library(name: str, order: str) -> None:
    assert cluster_of(5).preference(name) == tuple(f"node{digit}" for digit in order)


def test_the_order_does_not_depend_on_the_order_of_the_file() -> None:
    cluster = cluster_of(5)
    turned = Cluster(name="shop", nodes=cluster.nodes[::-1])
    assert all(cluster.preference(str(name)) == turned.preference(str(name)) for name in range(100))


def test_the_first_replicas_of_the_order_decide() -> None:
    assert cluster_of(5, replicas=3).quorum_nodes("orders/42") == ("node4", "node2", "node1")


def test_an_added_node_takes_names_over_and_moves_none_between_the_others() -> None:
    before, after = cluster_of(5), cluster_of(6)
    for name in map(str, range(500)):
        assert tuple(node for node in after.preference(name) if node != "node6") == before.preference(name)


def test_names_spread_evenly_over_the_nodes() -> None:
    firsts = Counter(cluster_of(5).preference(f"orders/{number}")[0] for number in range(5_000))
    assert len(firsts) == 5
    assert all(850 <= count <= 1_150 for count in firsts.values())


def test_a_name_of_half_a_character_has_an_order_too() -> None:
    assert len(cluster_of(3).preference("\ud800")) == 3


def test_each_network_has_its_url() -> None:
    cluster = parse_cluster(FULL)
    assert cluster.url("node1", "internal") == "http://node1:8000"
    assert cluster.url("node1", "public") == "http://localhost:8001"


def test_a_node_without_a_public_url_is_reached_by_its_url_everywhere() -> None:
    assert parse_cluster(FULL).url("node3", "public") == "http://node3:8000"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://localhost:8001", True),
        ("HTTP://localhost:8001/", True),
        ("http://node1:8000", False),
        ("http://node3:8000", False),
        ("http://node4:8000", False),
        ("http://elsewhere:8001", False),
        ("no url", False),
    ],
)
def test_a_public_address_is_one_that_a_node_does_not_have_inside(url: str, public: bool) -> None:
    same = NodeAddress("node4", "http://node4:8000", "http://node4:8000")
    cluster = Cluster(name="shop", nodes=(*parse_cluster(FULL).nodes, same))
    assert cluster.is_public(url) is public


def test_an_unknown_network_is_refused_and_named() -> None:
    with pytest.raises(InvalidCluster, match='network \'lan\' is unknown; use "internal" or "public"'):
        cluster_of(1).url("node1", "lan")


def test_an_unknown_node_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidCluster, match="node 'node9' is not in cluster 'shop'; its nodes: node1, node2"):
        cluster_of(2).url("node9", "internal")
